"""Failures to order: the next requests go wrong in a chosen way, and a test sees the client get over it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    ERROR = "error"
    THROTTLE = "throttle"
    DROP = "drop"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class Fault:
    """What befalls the next `times` requests whose label contains `match`.

    A label is `METHOD PATH OPERATION`, the operation being that of a GraphQL request. A request with
    `applied` takes effect before it fails: the answer is lost, not the request, and the client sends the
    same thing twice. A request that is `LATE` by `late_s` seconds is answered as it should be.
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
    """The faults in store. `met` counts the requests that met one, by kind."""

    def __init__(self) -> None:
        self.met: Counter[Kind] = Counter()
        self._lock = threading.Lock()
        self._left: list[tuple[Fault, int]] = []
        self._away_until = 0.0

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._left.append((fault, fault.times))

    def away(self, seconds: float) -> None:
        """From now on, for so long, every connection is dropped."""
        with self._lock:
            self._away_until = time.monotonic() + seconds

    def take(self, label: str) -> Fault | None:
        """The fault that the request with this label meets, if any, and one less of it in store."""
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
