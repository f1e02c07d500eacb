"""The layers that an adapter goes to: as named, by PEFT's table for the architecture, or by the
names of the model's layers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from sweep.errors import Fault, UserError, closest

TARGETS_KEY = "adapter.target_modules"
ALL_LINEAR = "all-linear"


@dataclass(frozen=True, slots=True)
class Targets:
    """The layers of an adapter. `modules` are as PEFT takes them: endings, a regular expression,
    or all-linear. `matched` are the full names of these layers, `layers` those of all layers that
    an adapter can go to."""

    modules: list[str] | str
    matched: tuple[str, ...]
    layers: tuple[str, ...]
    transposed: bool  # weights are stored as (in, out)
    origin: Literal["named", "table", "layout"]


def find_targets(
    model: PreTrainedModel,
    head: Sequence[str],
    named: Sequence[str] | str | None,
    *,
    table: Mapping[str, Sequence[str] | str],
    layouts: Sequence[Sequence[str]],
) -> Targets:
    """Return the layers of the headless model that `named` says; with None those of PEFT's `table`
    for the architecture, or of the first of `layouts` that the model has.

    Raises UserError for endings that no layer has, and where nothing is named and no default is
    known.
    """
    layers = linear_layers(model, head)
    modules, origin = _modules(model.config.model_type, named, table, layouts, layers)
    if faults := layer_faults(TARGETS_KEY, modules, layers):
        raise UserError(faults)
    matched = tuple(name for name in layers if matches(modules, name))
    return Targets(modules, matched, layers, _transposed(model, matched), origin)


def linear_layers(model: nn.Module, head: Sequence[str]) -> tuple[str, ...]:
    """Return the full names of the layers that an adapter can go to: linear ones, GPT-2's and
    4-bit ones too, outside the head."""
    inside = tuple(f"{part}." for part in head)
    linear = (name for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D))
    return tuple(name for name in linear if not f"{name}.".startswith(inside))


def layer_faults(key: str, modules: Sequence[str] | str, layers: Sequence[str]) -> list[Fault]:
    """Return a fault of `key` for each ending, or regular expression, that no layer has."""
    return [Fault(key, _not_there(name, layers)) for name in _unmatched(modules, layers)]


def matches(modules: Sequence[str] | str, layer: str) -> bool:
    """Return whether a layer is one of `modules`, as PEFT looks for it."""
    if modules == ALL_LINEAR:
        return True
    if isinstance(modules, str):
        return re.fullmatch(modules, layer) is not None
    return any(layer == name or layer.endswith(f".{name}") for name in modules)


def _modules(
    kind: str,
    named: Sequence[str] | str | None,
    table: Mapping[str, Sequence[str] | str],
    layouts: Sequence[Sequence[str]],
    layers: Sequence[str],
) -> tuple[list[str] | str, Literal["named", "table", "layout"]]:
    if named is not None:
        return _listed(named), "named"
    entry = table.get(kind)
    if entry is not None and not _unmatched(_listed(entry), layers):
        return _listed(entry), "table"
    for layout in layouts:
        if not _unmatched(layout, layers):
            return list(layout), "layout"
    rule = f"must be given: no default is known for {kind}; its linear layers end with {_endings(layers)}"
    raise UserError.of(TARGETS_KEY, rule)


def _listed(modules: Sequence[str] | str) -> list[str] | str:
    return modules if isinstance(modules, str) else list(modules)


def _transposed(model: nn.Module, matched: Sequence[str]) -> bool:
    """Return whether the weights are stored as (in, out), as in GPT-2. bitsandbytes transposes
    them when it quantises."""
    return any(isinstance(model.get_submodule(name), Conv1D) for name in matched)


def _not_there(name: str, layers: Sequence[str]) -> str:
    endings = _ending_set(layers)
    rule = f"holds {name}, but no linear layer of the model ends so{closest(name, endings)}; they end with {_endings(layers)}"
    return f"{rule}; {ALL_LINEAR} stands without brackets" if name == ALL_LINEAR else rule


def _unmatched(modules: Sequence[str] | str, layers: Sequence[str]) -> list[str]:
    if modules == ALL_LINEAR:
        return []
    if isinstance(modules, str):
        return [] if any(matches(modules, layer) for layer in layers) else [modules]
    return [name for name in modules if not any(matches([name], layer) for layer in layers)]


def _ending_set(layers: Sequence[str]) -> list[str]:
    return sorted({layer.rpartition(".")[2] for layer in layers})


def _endings(layers: Sequence[str]) -> str:
    return ", ".join(_ending_set(layers)) or "nothing, for there are none"
