"""Reads and writes that are repeated while a storage does not answer."""

from __future__ import annotations

import sqlite3

import pytest
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import OperationalError

from sweep.study import retries
from sweep.study.retries import Retries, is_passing
from sweep.study.signals import StopFlag


class DriverError(Exception):
    def __init__(self, sqlstate: str | None) -> None:
        super().__init__("driver")
        self.sqlstate = sqlstate


def storage_error(sqlstate: str | None) -> StorageInternalError:
    error = StorageInternalError("commit")
    error.__cause__ = OperationalError("SELECT 1", None, DriverError(sqlstate))
    return error


def locked() -> OperationalError:
    cause = sqlite3.OperationalError("database is locked")
    cause.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return OperationalError("SELECT 1", None, cause)


class Away:
    """Work that fails `times` times."""

    def __init__(self, times: int, error: Exception) -> None:
        self.times, self.error, self.calls = times, error, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return "done"


@pytest.mark.parametrize("sqlstate", ["40001", "40P01", "57P01", "57P03", "53300", "08006", None])
def test_what_passes_is_repeated(sqlstate: str | None) -> None:
    work = Away(2, storage_error(sqlstate))
    assert Retries().run(work) == "done"
    assert work.calls == 3


@pytest.mark.parametrize("sqlstate", ["28P01", "3D000", "42501", "53100", "25006", "42P01"])
def test_what_time_does_not_mend_is_raised_at_once(sqlstate: str) -> None:
    work = Away(1, storage_error(sqlstate))
    with pytest.raises(StorageInternalError):
        Retries().run(work)
    assert work.calls == 1


def test_a_locked_database_passes_and_a_full_one_does_not() -> None:
    full = locked()
    full.orig.sqlite_errorcode = sqlite3.SQLITE_FULL
    assert is_passing(locked()) and not is_passing(full) and not is_passing(ValueError())


def test_work_within_work_is_repeated_with_it() -> None:
    held, inner, outer = Retries(), Away(1, locked()), []

    def work() -> str:
        outer.append(1)
        return held.run(inner)

    assert held.run(work) == "done"
    assert len(outer) == 2


def test_after_the_patience_nothing_is_waited_for_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "PATIENCE", 0.0)
    held = Retries()
    for _ in range(2):
        with pytest.raises(OperationalError):
            held.run(Away(99, locked()))
    monkeypatch.setattr(retries, "PATIENCE", 99.0)
    with pytest.raises(OperationalError):
        held.run(Away(1, locked()))


def test_nothing_is_waited_for_after_a_second_interrupt() -> None:
    work = Away(99, locked())
    with pytest.raises(OperationalError):
        Retries(stop=StopFlag(raised=True, at_once=True)).run(work)
    assert work.calls <= 2
