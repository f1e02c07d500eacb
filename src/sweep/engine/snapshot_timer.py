"""The snapshots of a trial: when the next one is due, and the taking of it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sweep.engine import memory
from sweep.engine.snapshot import NotSnapshottable
from sweep.engine.warning import warn_once
from sweep.errors import first_line
from sweep.records.snapshot import Snapshot

logger = logging.getLogger(__name__)

# A snapshot may take one part in so many of the time since the last one.
_SHARE = 100


Position = tuple[int, int]  # of a trial: the rows trained on, and the evaluations


@dataclass(slots=True)
class SnapshotTimer:
    """A snapshot is due after an evaluation, and `every` seconds, but takes no more than a
    hundredth of a trial's time. With `every` 0 one is due whenever the trial has gone on; None:
    never. `at_end`: the last step has one too, for a model that is needed after its training.
    """

    every: float | None
    at_end: bool = False
    position: Position = (0, 0)  # of the last snapshot
    at: float = field(default_factory=time.monotonic)
    cost: float = 0.0  # seconds that the last snapshot took
    evaluated: bool = False  # since the last snapshot

    def gained(self, position: Position) -> bool:
        """Return whether a snapshot at `position` would hold more than the last one."""
        return self.every is not None and position != self.position

    def due(self, position: Position) -> bool:
        """Return whether a snapshot is due at `position`."""
        if not self.gained(position):
            return False
        if not self.every:
            return True
        passed = time.monotonic() - self.at
        return passed >= self.cost * _SHARE and (self.evaluated or passed >= self.every)

    def take(self, position: Position, make: Callable[[], Snapshot], report: Callable[[Snapshot], None]) -> None:
        """Report the snapshot that `make` returns. After a state that cannot be saved none is
        taken any more; where memory lacks, training goes on without this one."""
        began = time.monotonic()
        try:
            snapshot = make()
        except NotSnapshottable as error:
            self.stop(str(error))
            return
        except (RuntimeError, MemoryError) as error:
            if not memory.out_of_memory(error):
                raise
            logger.warning("no memory for a snapshot; training goes on: %s", first_line(error))
            self.missed()
            return
        report(snapshot)
        self.taken(position, time.monotonic() - began)

    def taken(self, position: Position, seconds: float) -> None:
        """Note a snapshot at `position`, which took so many seconds."""
        self.position, self.at, self.cost, self.evaluated = position, time.monotonic(), seconds, False

    def missed(self) -> None:
        """Note a snapshot that was not to be had. The next one is due as if it had been taken."""
        self.at, self.evaluated = time.monotonic(), False

    def stop(self, reason: str) -> None:
        """Take no further snapshot; a warning says why, where there would have been any."""
        if self.every is not None:
            warn_once(f"trials have no snapshots, and begin anew after a stop: {reason}")
            self.every = None


def never() -> SnapshotTimer:
    """Return a timer by which no snapshot is due."""
    return SnapshotTimer(None, at=math.inf)
