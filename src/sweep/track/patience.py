"""Time limits for a tracking server: for a start or an end, in all, and after a stop."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from threading import Event
from typing import Protocol

# Seconds that the start or the end of a run takes with a working server. A longer wait counts as
# lost time.
USUAL = 3.0
# Additional seconds for the end of a run if the server answers at once, since this machine may be
# slow.
LONGER = 7.0
# Seconds for all runs together after Ctrl-C or SIGTERM: clusters kill a process 30 s after the
# signal.
STOPPED = 8.0

# A server that was slow, or failed after a second or more, is not asked for ten times the lost
# time, doubled each time in a row.
_PAUSE, _LONGEST_PAUSE = 10.0, 600.0
_QUICK = 1.0
_POLL = 0.05


class Stop(Protocol):
    """The flags of a stop: `raised` by the first signal, `at_once` by the second."""

    @property
    def raised(self) -> bool: ...

    @property
    def at_once(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class NeverStopped:
    """Flags that no signal sets."""

    raised: bool = False
    at_once: bool = False


@dataclass(slots=True)
class Patience:
    """The time that a study may lose to a server: at most `max_wait` seconds, of which `lost` are
    used.

    A wait of more than `usual` seconds is lost time, and so is a wait that ends in a failure.
    """

    max_wait: float
    stop: Stop = field(default_factory=NeverStopped)
    usual: float = USUAL
    lost: float = 0.0
    _paused_until: float = 0.0
    _in_a_row: int = 0

    @property
    def left(self) -> float:
        """Return the seconds that may still be lost."""
        return max(0.0, self.max_wait - self.lost)

    @property
    def paused(self) -> bool:
        """Return whether the server is not asked at the moment."""
        return time.monotonic() < self._paused_until

    @classmethod
    def endless(cls, stop: Stop) -> Patience:
        """Return limits that are infinite, for a server in this process."""
        return cls(math.inf, stop, usual=math.inf)

    @property
    def unlimited(self) -> bool:
        """Return whether the server is in this process, so that it is asked even after a stop."""
        return self.max_wait == math.inf

    def count(self, seconds: float, *, extra: float = 0.0, failed: bool = False) -> bool:
        """Count a wait, for which `extra` seconds are usual.

        Return whether the server was slow, or `failed`.
        """
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
        """Wait at most `seconds` for `done`, and return whether it was set.

        A signal ends the wait.
        """
        end, before = time.monotonic() + seconds, self.stop.raised
        while self.stop.raised is before and not self.stop.at_once and (left := end - time.monotonic()) > 0:
            if done.wait(min(_POLL, left)):
                return True
        return done.is_set()
