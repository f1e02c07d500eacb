"""The rates of dropout of the trials of a pack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

LEVELS = 2**16  # values that one draw may have


@dataclass(frozen=True, slots=True)
class Rates:
    """The dropout of each trial of a pack in one module. `levels` (trials,) count the draws of
    65,536 that are dropped."""

    each: Sequence[float]
    levels: Tensor

    @classmethod
    def of(cls, each: Sequence[float], device: torch.device) -> Rates:
        return cls(each, torch.tensor([levels_of(one) for one in each], dtype=torch.int32, device=device))

    def taking(self, each: Sequence[float]) -> Rates:
        """Return other rates, at the same place in memory."""
        self.levels.copy_(torch.tensor([levels_of(one) for one in each], dtype=torch.int32))
        return Rates(each, self.levels)


def levels_of(probability: float) -> int:
    """Return how many of 65,536 draws are dropped: never all, since kept values are divided by the
    part that is kept."""
    return min(round(probability * LEVELS), LEVELS - 1)
