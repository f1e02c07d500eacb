"""The weights that a trial trains, kept aside at its best evaluation and put back at its end; and
what changes in a model beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase


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


@dataclass(frozen=True, slots=True)
class UntrainedState:
    """Finds the buffers and frozen weights that have changed since a model was made: running
    means, or weights that an adapter method sets before training. `first` are the tensors and the
    number of changes that each had gone through. Torch does not count the changes of running
    means, so that they are always taken as changed.
    """

    model: nn.Module
    first: Mapping[str, tuple[Tensor, int]]

    @classmethod
    def of(cls, model: nn.Module) -> UntrainedState:
        return cls(model, {name: (tensor, _changes(tensor)) for name, tensor in _untrained(model)})

    def state_dict(self) -> dict[str, Tensor]:
        """Return what has changed, by name."""
        running = {
            f"{name}.{own}".lstrip(".")
            for name, module in self.model.named_modules() if isinstance(module, _NormBase)
            for own, _ in module.named_buffers(recurse=False)
        }  # fmt: skip
        return {
            name: tensor for name, tensor in _untrained(self.model) if name in running or self._changed(name, tensor)
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Put a `state_dict` back. Raises KeyError if the model has no such tensor."""
        there = dict(_untrained(self.model))
        for name, value in state.items():
            old = there[name]
            if isinstance(old, nn.Parameter):
                with torch.no_grad():
                    old.copy_(value)
            else:
                _replace_buffer(self.model, old, value.to(old.device))

    def _changed(self, name: str, tensor: Tensor) -> bool:
        if name not in self.first:
            return True
        before, changes = self.first[name]
        return before is not tensor or _changes(tensor) != changes


def _untrained(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    frozen = ((name, weight) for name, weight in model.named_parameters() if not weight.requires_grad)
    return chain(frozen, model.named_buffers())


def _changes(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def _replace_buffer(model: nn.Module, old: Tensor, new: Tensor) -> None:
    """Replace a buffer wherever it is: other models may share the tensor itself."""
    for module in model.modules():
        for name, buffer in module.named_buffers(recurse=False):
            if buffer is old:
                setattr(module, name, new)
