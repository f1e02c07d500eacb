"""When the next snapshot of a trial is due."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

# A snapshot may take one part in so many of the time since the last one.
_SHARE = 100


@dataclass(slots=True)
class SnapshotTimer:
    """A snapshot is due after an evaluation, and `every` seconds, but takes no more than a
    hundredth of a trial's time. With `every` 0 one is due after each optimizer step; None: never.
    `at_end`: the last step has one too, for a model that is needed after its training.
    """

    every: float | None
    at_end: bool = False
    step: int = 0  # of the last snapshot
    at: float = field(default_factory=time.monotonic)
    cost: float = 0.0  # seconds that the last snapshot took
    evaluated: bool = False  # since the last snapshot

    def due(self, step: int) -> bool:
        """Return whether a snapshot is due after `step` optimizer steps."""
        if not self.possible(step):
            return False
        if not self.every:
            return True
        passed = time.monotonic() - self.at
        return passed >= self.cost * _SHARE and (self.evaluated or passed >= self.every)

    def possible(self, step: int) -> bool:
        """Return whether snapshots are taken, and the last one was not after this step."""
        return self.every is not None and step not in (0, self.step)

    def taken(self, step: int, seconds: float) -> None:
        """Note a snapshot after `step`, which took so many seconds."""
        self.step, self.at, self.cost, self.evaluated = step, time.monotonic(), seconds, False

    def stop(self) -> None:
        """Take no further snapshot."""
        self.every = None


def never() -> SnapshotTimer:
    """Return a timer by which no snapshot is due."""
    return SnapshotTimer(None, at=math.inf)
