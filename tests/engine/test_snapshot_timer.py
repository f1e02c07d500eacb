"""When a snapshot of a trial is due."""

from __future__ import annotations

import pytest

from sweep.engine.snapshot_timer import SnapshotTimer, never


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set by a test."""
    time = [0.0]
    monkeypatch.setattr("sweep.engine.snapshot_timer.time.monotonic", lambda: time[0])
    return time


def test_a_snapshot_is_due_at_intervals(now: list[float]) -> None:
    timer = SnapshotTimer(60.0, at=0.0)
    now[0] = 59.0
    assert not timer.due((8, 0))
    now[0] = 60.0
    assert timer.due((8, 0))
    timer.taken((8, 0), 0.1)
    now[0] = 119.0
    assert not timer.due((16, 0))
    now[0] = 120.0
    assert timer.due((16, 0))


def test_a_snapshot_is_due_after_an_evaluation_unless_the_last_one_took_long(now: list[float]) -> None:
    timer = SnapshotTimer(60.0, at=0.0, cost=0.02, evaluated=True)
    now[0] = 1.9
    assert not timer.due((8, 1))
    now[0] = 2.0
    assert timer.due((8, 1))
    timer.taken((8, 1), 2.0)
    now[0] = 201.0
    assert not timer.due((16, 1))  # a hundredth of the time, whatever the interval
    now[0] = 202.0
    assert timer.due((16, 1))


@pytest.mark.parametrize("position", [(8, 0), (8, 1)])
def test_nothing_is_saved_twice(now: list[float], position: tuple[int, int]) -> None:
    timer = SnapshotTimer(0.0, at=0.0)
    assert not timer.due((0, 0))
    assert timer.due(position)
    timer.taken(position, 0.1)
    assert not timer.due(position)
    assert not timer.gained(position)
    assert timer.gained((8, 2))


def test_a_snapshot_that_was_missed_is_due_later(now: list[float]) -> None:
    timer = SnapshotTimer(60.0, at=0.0)
    now[0] = 60.0
    timer.missed()
    assert not timer.due((8, 0))
    assert timer.gained((8, 0))
    now[0] = 120.0
    assert timer.due((8, 0))


def test_none_is_due_without_snapshots(now: list[float]) -> None:
    stopped = SnapshotTimer(0.0, at=0.0)
    stopped.stop("the optimizer cannot be saved")
    now[0] = 1e9
    for timer in (never(), stopped):
        assert not timer.due((8, 1))
        assert not timer.gained((8, 1))
