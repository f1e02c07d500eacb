"""What each of several trials takes of the time that goes by while they run at once."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Shares:
    """Wall seconds, at each moment divided equally among the trials that run then: together they make up the time that
    went by, and a trial that runs alone has all of it."""

    _taken: dict[int, float] = field(default_factory=dict)
    _divided: float = field(default_factory=time.monotonic)

    def begin(self, number: int) -> None:
        self._divide()
        self._taken[number] = 0.0

    def seconds(self, number: int) -> float:
        self._divide()
        return self._taken[number]

    def end(self, number: int) -> None:
        self._divide()
        del self._taken[number]

    def _divide(self) -> None:
        now = time.monotonic()
        for number in self._taken:
            self._taken[number] += (now - self._divided) / len(self._taken)
        self._divided = now
