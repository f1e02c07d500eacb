"""The number of times that a training has lost its worker."""

from __future__ import annotations

from dataclasses import dataclass

_MOST = 3


@dataclass(slots=True)
class Losses:
    """Counts losses in a row that gained no step. Of trainings that were lost together each one
    has a part of the loss."""

    parts: float = 0.0
    step: int = -1

    def count(self, step: int, *, together: int = 1) -> None:
        """Count a loss. `step` is that of the last snapshot, 0 without one."""
        self.parts = 1 / together + (self.parts if step == self.step else 0.0)
        self.step = step

    @property
    def too_many(self) -> bool:
        """Return whether the training is given up."""
        return self.parts >= _MOST
