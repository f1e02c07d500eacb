"""Faults on demand: a test lets the next requests fail in a chosen way, and sees what the client
does."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """An HTTP error, HTTP 429, a connection that is closed without an answer, or a late answer."""

    ERROR = "error"
    THROTTLE = "throttle"
    DROP = "drop"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault for the next `times` requests whose label contains `match`.

    A label is `METHOD PATH OPERATION`; GraphQL requests alone have an operation. With `applied`
    the request takes effect and the answer is lost, so that the client sends the same again. A
    `LATE` request is answered as usual, after `late_s` seconds.
    """

    kind: Kind = Kind.ERROR
    times: int = 1
    match: str = ""
    status: int = 500
    retry_after_s: float = 0
    applied: bool = False
    late_s: float = 0

    @classmethod
    def late(cls, seconds: float, *, times: int = 1, match: str = "") -> Fault:
        return cls(Kind.LATE, times, match, late_s=seconds)

    @classmethod
    def error(cls, status: int = 500, *, times: int = 1, match: str = "", applied: bool = False) -> Fault:
        return cls(Kind.ERROR, times, match, status, applied=applied)

    @classmethod
    def throttle(cls, *, times: int = 1, match: str = "", retry_after_s: float = 0) -> Fault:
        return cls(Kind.THROTTLE, times, match, 429, retry_after_s)

    @classmethod
    def drop(cls, *, times: int = 1, match: str = "", applied: bool = False) -> Fault:
        return cls(Kind.DROP, times, match, applied=applied)


_DROP = Fault(Kind.DROP)


class Faults:
    """The faults that are still to come. `met` counts the requests that failed, by kind."""

    def __init__(self) -> None:
        self.met: Counter[Kind] = Counter()
        self._lock = threading.Lock()
        self._left: list[tuple[Fault, int]] = []
        self._away_until = 0.0

    def add(self, fault: Fault) -> None:
        """Add a fault. Of several that match a request, the one that was added first counts."""
        with self._lock:
            self._left.append((fault, fault.times))

    def away(self, seconds: float) -> None:
        """Close every connection without an answer for the next `seconds`."""
        with self._lock:
            self._away_until = time.monotonic() + seconds

    def take(self, label: str) -> Fault | None:
        """Return the fault of the request with this label, and count it as used; None where the
        request is to succeed."""
        with self._lock:
            fault = _DROP if time.monotonic() < self._away_until else self._next(label)
            if fault:
                self.met[fault.kind] += 1
            return fault

    def _next(self, label: str) -> Fault | None:
        for place, (fault, left) in enumerate(self._left):
            if fault.match in label:
                self._left[place : place + 1] = [(fault, left - 1)] if left > 1 else []
                return fault
        return None
