"""A working copy of a model that shares the weights nobody trains."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any, TypeVar

from torch import nn
from torch.nn import Parameter

M = TypeVar("M", bound=nn.Module)


def replica(model: M, private: Collection[str] | None) -> M:
    """Return a copy with modules, hooks, flags and config of its own. The storage of weights is
    shared, except in the modules named in `private` (None: in all of them). Changes of the copy
    (wrapping, freezing, hooking, casting) leave `model` as it was."""
    memo: dict[int, Any] = {}
    for name, tensor in model.named_parameters(remove_duplicate=False):
        if id(tensor) not in memo:
            own = private is None or any(name.startswith(f"{module}.") for module in private)
            memo[id(tensor)] = copy.deepcopy(tensor) if own else _sharing(tensor, memo)
    made = copy.deepcopy(model, memo)
    for layer in made.modules():
        weight = getattr(layer, "weight", None)
        if isinstance(getattr(weight, "module", None), nn.Module):  # a 4-bit weight knows its layer
            vars(weight)["module"] = layer
    return made


def _sharing(weight: Parameter, memo: dict[int, Any]) -> Parameter:
    scales = getattr(weight, "quant_state", None)
    if scales is None:
        return Parameter(weight.detach(), requires_grad=weight.requires_grad)
    memo[id(scales)] = scales
    return copy.copy(weight)
