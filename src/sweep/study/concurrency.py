"""The limit on trials that run at once in a study whose sampler learns."""

from __future__ import annotations

from collections.abc import Callable, Sized
from dataclasses import dataclass, field

from sweep.config.schema import Config


@dataclass(frozen=True, slots=True)
class ConcurrencyLimit:
    """Says when the study asks for a new point: a sampler learns nothing from running trials.

    A point that the sampler draws begins only while fewer than `most` trials run; None is no
    limit. `complete_points` gives the number of given points before the first waiting point that
    leaves a value to the sampler: they begin however many trials run, and so do trials that go on.
    All launchers and engines are under this limit.
    """

    most: int | None
    complete_points: Callable[[], int]
    running: Sized = field(repr=False)

    @classmethod
    def of(cls, config: Config, complete_points: Callable[[], int], running: Sized) -> ConcurrencyLimit:
        """Return the limit of a config: as many trials as the sampler learns well from, or as
        `engine.slots`, where that is a greater number."""
        most, slots = config.study.at_once, config.engine.slots
        return cls(most if most is None or slots == "auto" else max(most, slots), complete_points, running)

    @property
    def allows_new(self) -> bool:
        """Return whether the study may ask for its next point now."""
        return self.most is None or len(self.running) < self.most or self.complete_points() > 0

    def at_once(self, waiting: int) -> int | None:
        """Return how many trials may run at once now, with so many that are `waiting` to go on."""
        return None if self.most is None else max(self.most, len(self.running) + waiting + self.complete_points())
