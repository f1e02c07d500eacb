"""Reads and writes of a storage that are tried again while its server is away or its tables are
locked."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, PendingRollbackError, SQLAlchemyError

from sweep.errors import first_line
from sweep.study.signals import StopFlag

T = TypeVar("T")

PATIENCE = 60.0  # seconds without an answer after which a study ends
_STOPPING = 5.0  # the same after Ctrl-C or SIGTERM
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0  # seconds between two tries

_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
# PostgreSQL's codes of a serialization failure, a deadlock, a lock that was not free, a server that
# stops or starts, and one with too many clients. Class 08 holds the failures of a connection.
_PASSING = ("40001", "40P01", "55P03", "57P01", "57P02", "57P03", "53300")


@dataclass(slots=True)
class Retries:
    """Repeats reads and writes that failed because a storage did not answer.

    Work that is passed to `run` must be idempotent. The user is told once when the storage does
    not answer, with the reason by `describe`, and once when it answers again. After `PATIENCE`
    seconds without an answer nothing is repeated any more, since the study then ends.
    """

    describe: Callable[[BaseException], str] = lambda error: first_line(error)
    say: Callable[[str], None] = lambda _: None
    stop: StopFlag = field(default_factory=StopFlag)
    _running: bool = field(init=False, default=False)
    _gave_up: bool = field(init=False, default=False)

    def run(self, work: Callable[[], T]) -> T:
        """Return what `work` returns. Work within other work is repeated with it.

        Raises the last error after `PATIENCE` seconds, and any error that time does not mend at
        once.
        """
        if self._running:
            return work()
        self._running = True
        try:
            return self._repeated(work)
        finally:
            self._running = False

    def _repeated(self, work: Callable[[], T]) -> T:
        began, pause, told = time.monotonic(), _FIRST_PAUSE, False
        while True:
            try:
                found = work()
            except (SQLAlchemyError, StorageInternalError) as error:
                if not is_passing(error) or self._gave_up:
                    raise
                if time.monotonic() - began > self._patience:
                    self._gave_up = True
                    raise
                if pause > 4 * _FIRST_PAUSE and not told:  # a deadlock or a short lock is not worth a line
                    told = True
                    self.say(f"{self.describe(error)}; trying again for up to {self._patience:.0f} s")
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                if told:
                    self.say(f"the storage answers again, after {time.monotonic() - began:.0f} s")
                return found

    @property
    def _patience(self) -> float:
        if self.stop.at_once:
            return 0.0
        return _STOPPING if self.stop.raised else PATIENCE


def is_passing(error: BaseException) -> bool:
    """Return whether an error of a storage may be gone after a while: a server that is away, a
    deadlock or a lock."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, DBAPIError | PendingRollbackError):
        found = found.__cause__
    if not isinstance(found, DBAPIError) or isinstance(found, IntegrityError):
        return found is not None  # IntegrityError: another process wrote the same row in the same moment
    if isinstance(found.orig, sqlite3.Error):
        return getattr(found.orig, "sqlite_errorcode", 0) & 0xFF in _LOCKED
    code = getattr(found.orig, "sqlstate", None) or getattr(found.orig, "pgcode", None)
    if code is not None:
        return code in _PASSING or code.startswith("08")
    # A connection that cannot be made has no code.
    return found.connection_invalidated or isinstance(found, OperationalError)
