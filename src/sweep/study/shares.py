"""What each of several trials takes of the time that goes by while they run at once."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Shares:
    """Wall seconds, at each moment divided equally among the trials that train then: together they make up the time that
    went by, and a trial that runs alone has all of it. One that waits for its turn takes nothing while others train."""

    _taken: dict[int, float] = field(default_factory=dict)
    _training: set[int] = field(default_factory=set)
    _divided: float = field(default_factory=time.monotonic)

    def begin(self, number: int) -> None:
        self._divide()
        self._taken[number] = 0.0

    def trains(self, number: int) -> None:
        """From now on, if not before."""
        if number not in self._training:
            self._divide()
            self._training.add(number)

    def seconds(self, number: int) -> float:
        self._divide()
        return self._taken[number]

    def end(self, number: int) -> None:
        self._divide()
        del self._taken[number]
        self._training.discard(number)

    def _divide(self) -> None:
        now, sharing = time.monotonic(), self._training or self._taken.keys()
        for number in sharing:
            self._taken[number] += (now - self._divided) / len(sharing)
        self._divided = now
