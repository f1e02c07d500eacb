"""Random numbers for dropout: a source for each trial, so that a trial's masks depend on nothing but its seed and step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_LEVELS = 2**16


class Noise:
    """Draws for one forward pass of one trial.

    On the CPU they come from NumPy's SFC64 (Doty-Humphrey 2010), sixteen bits a value: torch's own generator takes eight
    times as long there, a quarter of a training step of a small model.
    """

    def __init__(self, seed: int, step: int, device: torch.device) -> None:
        self._device = device
        if device.type == "cpu":
            self._bits = np.random.SFC64([seed, step])
        else:
            self._generator = torch.Generator(device).manual_seed(seed * 2**31 + step)

    def draw(self, count: int) -> Tensor:
        """(count,), int16, evenly over all its values."""
        if self._device.type == "cpu":
            return torch.from_numpy(self._bits.random_raw(-(-count // 4)).view(np.int16)[:count])
        drawn = torch.empty(count, dtype=torch.int16, device=self._device)
        return drawn.random_(-_LEVELS // 2, _LEVELS // 2, generator=self._generator)


def draws(noise: Sequence[Noise], counts: Sequence[int]) -> Tensor:
    """So many of each source, one after the other."""
    return torch.cat([source.draw(count) for source, count in zip(noise, counts, strict=True)])


def threshold(probability: float) -> int:
    """A draw below it drops its value."""
    return round(probability * _LEVELS) - _LEVELS // 2


def factor(probability: float) -> float:
    """What the values that stay are multiplied with."""
    return 1 / (1 - round(probability * _LEVELS) / _LEVELS)


def kept(drawn: Tensor, limit: int) -> Tensor:
    """As bool. NumPy compares small integers six times as fast as torch."""
    if drawn.device.type == "cpu":
        return torch.from_numpy(drawn.numpy() >= limit)
    return drawn >= limit
