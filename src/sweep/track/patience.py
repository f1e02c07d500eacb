"""How long a study waits for its tracking server: at the start and the end of each run, in all, and once it is stopped."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from threading import Event
from typing import Protocol

# Seconds that the start or the end of a run takes with a server that is well. A longer wait counts as lost time.
USUAL = 3.0
# Seconds more for the end of a run where the server answers at once: it may be this machine that is slow.
LONGER = 7.0
# Seconds for all runs together to arrive after Ctrl-C or SIGTERM: clusters kill 30 s after they ask.
STOPPED = 8.0

# A server that was slow, or failed after a second or more, is left alone for ten times what it cost; for twice as long each
# time in a row.
_PAUSE, _LONGEST_PAUSE = 10.0, 600.0
_QUICK = 1.0
_POLL = 0.05


class Stop(Protocol):
    """What the user asked for: `raised` by the first signal, `at_once` by the second."""

    @property
    def raised(self) -> bool: ...

    @property
    def at_once(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class NeverStopped:
    raised: bool = False
    at_once: bool = False


@dataclass(slots=True)
class Patience:
    """`max_wait` is the most seconds that a study may lose, `lost` what it has lost so far. A wait of more than `usual`
    seconds is lost time, and so is one that ends in a failure."""

    max_wait: float
    stop: Stop = field(default_factory=NeverStopped)
    usual: float = USUAL
    lost: float = 0.0
    _paused_until: float = 0.0
    _in_a_row: int = 0

    @property
    def left(self) -> float:
        return max(0.0, self.max_wait - self.lost)

    @property
    def paused(self) -> bool:
        """Whether the server is left alone for now."""
        return time.monotonic() < self._paused_until

    @classmethod
    def endless(cls, stop: Stop) -> Patience:
        """Patience without limits, for a server that runs in this very process."""
        return cls(math.inf, stop, usual=math.inf)

    @property
    def unlimited(self) -> bool:
        """Whether the server is this process itself: it is asked even after a stop."""
        return self.max_wait == math.inf

    def count(self, seconds: float, *, extra: float = 0.0, failed: bool = False) -> bool:
        """Take note of a wait, which may usually take `extra` seconds more than others. Returns whether the server was slow,
        or failed after the wait."""
        slow = seconds > self.usual + extra
        if self.unlimited:
            return False
        if slow or failed:
            self.lost += seconds
            if seconds >= _QUICK:
                length = min(_PAUSE * seconds * 2**self._in_a_row, _LONGEST_PAUSE)
                self._paused_until = time.monotonic() + length
                self._in_a_row += 1
        else:
            self._in_a_row = 0
        return slow or failed

    def wait(self, done: Event, seconds: float) -> bool:
        """Whether `done` was set within `seconds`. A signal of the user ends the wait."""
        end, before = time.monotonic() + seconds, self.stop.raised
        while self.stop.raised is before and not self.stop.at_once and (left := end - time.monotonic()) > 0:
            if done.wait(min(_POLL, left)):
                return True
        return done.is_set()
