"""The state of an optimizer, put back exactly: in the types it was saved in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer


def optimizer_state(optimizer: Optimizer) -> dict[str, Any]:
    """Return the state by the place of each weight in the optimizer's groups, and the groups'
    options. Some optimizers keep the state of weights in the options of a group."""
    return {
        "weights": [dict(optimizer.state.get(weight, {})) for weight in _weights(optimizer)],
        "groups": [
            {name: value for name, value in group.items() if name != "params" and not _by_weight(value)}
            for group in optimizer.param_groups
        ],
        "kept_in_groups": [
            {
                name: [value.get(weight) for weight in group["params"]]
                for name, value in group.items()
                if _by_weight(value)
            }
            for group in optimizer.param_groups
        ],
    }


def set_optimizer_state(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Put an `optimizer_state` back. PyTorch's own `load_state_dict` would round moments to the
    type of the weights."""
    for weight, own in zip(_weights(optimizer), state["weights"], strict=True):
        if own:
            optimizer.state[weight] = own
    for group, options in zip(optimizer.param_groups, state["groups"], strict=True):
        group.update(options)
    for group, kept in zip(optimizer.param_groups, state["kept_in_groups"], strict=True):
        for name, values in kept.items():
            pairs = zip(group["params"], values, strict=True)
            group[name] = {weight: value for weight, value in pairs if value is not None}


def _by_weight(option: Any) -> bool:
    return isinstance(option, Mapping) and any(isinstance(key, Tensor) for key in option)


def _weights(optimizer: Optimizer) -> list[Any]:
    return [weight for group in optimizer.param_groups for weight in group["params"]]
