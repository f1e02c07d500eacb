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
        self.device = device
        if device.type == "cpu":
            self._bits = np.random.SFC64([seed, step])
        else:
            self._generator = torch.Generator(device).manual_seed(seed * 2**31 + step)

    def draw(self, count: int) -> Tensor:
        """(count,), int16, evenly over all its values."""
        if self.device.type == "cpu":
            return torch.from_numpy(self._bits.random_raw(-(-count // 4)).view(np.int16)[:count])
        drawn = torch.empty(count, dtype=torch.int16, device=self.device)
        return drawn.random_(-_LEVELS // 2, _LEVELS // 2, generator=self._generator)


def masks(noise: Sequence[Noise], counts: Sequence[int], probabilities: Sequence[float], dtype: torch.dtype) -> Tensor:
    """What values are multiplied with under dropout: so many values of each source, one after the other; 0 with that
    source's probability, and otherwise what keeps the mean. A source with a probability of 0 draws nothing, whatever the
    others do.

    In the values' own type, because a product with booleans takes a CPU five times as long.
    """
    if len(set(probabilities)) == 1:
        drawn = [source.draw(count) for source, count in zip(noise, counts, strict=True)]
        return _mask(torch.cat(drawn), probabilities[0], dtype)
    return torch.cat([
        _mask(source.draw(count), one, dtype) if one else torch.ones(count, dtype=dtype, device=source.device)
        for source, count, one in zip(noise, counts, probabilities, strict=True)
    ])  # fmt: skip


def _mask(drawn: Tensor, probability: float, dtype: torch.dtype) -> Tensor:
    dropped = round(probability * _LEVELS)
    kept = torch.empty(drawn.shape, dtype=dtype, device=drawn.device)
    torch.ge(drawn, dropped - _LEVELS // 2, out=kept)
    return kept.mul_(_LEVELS / (_LEVELS - dropped))
