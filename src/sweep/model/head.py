"""The classification head: its precision, and its first weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel


def widen(model: nn.Module, head: Iterable[str]) -> None:
    """Hold the head in float32 over a base in a half type; it casts what it is given."""
    for name in head:
        module = model.get_submodule(name)
        if any(weight.dtype in (torch.float16, torch.bfloat16) for weight in module.parameters()):
            module.float()
            module.register_forward_pre_hook(_as_float32, with_kwargs=True)


def initialise(model: PreTrainedModel, modules: Iterable[str]) -> None:
    """Draw new weights for the head as the model's own class does. Uses torch's generator, so seed
    it first. In a loaded model transformers skips weights that it found in the checkpoint; in a
    replica it draws all of them."""
    for name in modules:
        module = model.get_submodule(name)
        with torch.no_grad():
            module.apply(model._init_weights)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Draw from `seed`, and leave torch's generators as they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _as_float32(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return tuple(map(_wide, args)), {name: _wide(value) for name, value in kwargs.items()}


def _wide(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value
