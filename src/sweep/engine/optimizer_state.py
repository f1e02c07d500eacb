"""The state of an optimizer, put back exactly: in the types it was saved in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer


def optimizer_state(optimizer: Optimizer) -> dict[str, Any]:
    """Return the state by the place of each weight in the optimizer's groups, and the groups'
    options."""
    return {
        "weights": [dict(optimizer.state.get(weight, {})) for weight in _weights(optimizer)],
        "groups": [
            {name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups
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


def _weights(optimizer: Optimizer) -> list[Any]:
    return [weight for group in optimizer.param_groups for weight in group["params"]]
