"""The weights that a trial trains, kept aside at its best evaluation and put back at its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn


def trainable_state(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy, on the CPU, of every trained weight: adapter and head, or with `full` the
    whole model."""
    return {name: weight.detach().to("cpu", copy=True) for name, weight in trainable_weights(model)}


def trainable_weights(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield every trained weight with its name."""
    return ((name, weight) for name, weight in model.named_parameters() if weight.requires_grad)


def trained_parameters(model: nn.Module) -> int:
    """Return the number of trained weights."""
    return sum(weight.numel() for _, weight in trainable_weights(model))


def restore(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put a `trainable_state` back, whatever device the model is on. Raises KeyError if it trains
    other weights."""
    trained = dict(trainable_weights(model))
    if trained.keys() != state.keys():
        raise KeyError(f"the model does not train the same weights: {sorted(trained.keys() ^ state.keys())}")
    with torch.no_grad():
        for name, weight in trained.items():
            weight.copy_(state[name])
