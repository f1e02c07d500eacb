"""The number of times that a training was lost with its process or its worker."""

from __future__ import annotations

from dataclasses import dataclass

# Sums of thirds and sixths are a little off.
_TOO_MANY = 3 - 1e-6


@dataclass(frozen=True, slots=True)
class Losses:
    """The losses at which a training had not got further than at the loss before. Each of k
    trainings that are lost together counts 1/k. `step` is what it had reached at the last one,
    and `begun` the mark of its beginning before that, where it has one."""

    parts: float = 0.0
    step: int = -1
    begun: str = ""

    def and_one(self, step: int, *, together: int = 1, begun: str = "") -> Losses:
        """Return the losses with one more, after `step`. A training that has got further is no
        likely cause, and counts anew. A loss that was counted before a kill is no further one."""
        if begun and begun == self.begun:
            return self
        return Losses((0.0 if step > self.step else self.parts) + 1 / together, step, begun)

    @property
    def too_many(self) -> bool:
        """Return whether the training is given up."""
        return self.parts >= _TOO_MANY
