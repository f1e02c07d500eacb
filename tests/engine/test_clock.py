"""Seconds of a trial: training, evaluation, and the rest."""

from __future__ import annotations

import pytest

from sweep.engine.clock import Clock, SharedClock
from sweep.records.device_time import DeviceTime


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set by a test."""
    time = [0.0]
    monkeypatch.setattr("sweep.engine.clock.time.perf_counter", lambda: time[0])
    return time


def test_training_is_the_loop_without_evaluations_and_reports(now: list[float]) -> None:
    clock = Clock(started=0.0)
    now[0] = 5.0  # the model is loaded
    clock.begin_loop()
    now[0] = 8.0
    with clock.on_evaluation():
        now[0] = 10.0
    with clock.set_aside():
        now[0] = 11.0
    now[0] = 15.0
    assert (clock.training(), clock.evaluating, clock.aside, clock.total()) == (7.0, 2.0, 1.0, 15.0)


def test_nothing_is_trained_before_the_loop(now: list[float]) -> None:
    clock = Clock(started=0.0)
    now[0] = 3.0
    assert (clock.training(), clock.total()) == (0.0, 3.0)


def test_a_shared_clock_counts_only_what_it_is_charged(now: list[float]) -> None:
    clock = SharedClock()
    now[0] = 100.0
    clock.charge(training=2.0, evaluating=3.0)
    with clock.on_training():
        now[0] = 101.0
        with clock.set_aside():
            now[0] = 105.0
            assert clock.total() == 2.0 + 3.0 + 4.0  # while it is still set aside
    assert (clock.training(), clock.evaluating, clock.aside, clock.total()) == (3.0, 3.0, 4.0, 10.0)


def test_a_clock_goes_on_from_the_seconds_of_an_earlier_one(now: list[float]) -> None:
    """What passes before the loop counts in the total alone."""
    before = Clock(started=0.0)
    now[0] = 2.0
    before.begin_loop()
    now[0] = 5.0
    with before.on_evaluation():
        now[0] = 6.0
    with before.set_aside():
        now[0] = 6.5
    saved = before.state_dict()
    assert {name: saved[name] for name in ("total", "training", "evaluating", "aside")} == {
        "total": 6.5, "training": 3.0, "evaluating": 1.0, "aside": 0.5,
    }  # fmt: skip
    now[0] = 100.0
    clock = Clock(started=100.0)
    now[0] = 104.0
    clock.begin_loop()
    clock.load_state_dict(saved)
    now[0] = 105.0
    assert (clock.training(), clock.evaluating, clock.aside, clock.total()) == (4.0, 1.0, 0.5, 11.5)


def test_a_shared_clock_goes_on_from_the_seconds_of_an_earlier_one(now: list[float]) -> None:
    before = SharedClock()
    before.charge(training=2.0, evaluating=3.0)
    with before.set_aside():
        now[0] = 1.0
        saved = before.state_dict()  # as when a snapshot is taken
    clock = SharedClock()
    with clock.set_aside():
        clock.load_state_dict(saved)
        now[0] = 5.0
    clock.charge(training=1.0)
    assert (clock.training(), clock.evaluating, clock.total()) == (3.0, 3.0, 3.0 + 3.0 + 1.0 + 4.0)


@pytest.mark.parametrize("kind", [Clock, SharedClock])
def test_the_seconds_on_each_device_go_on_with_the_trial(now: list[float], kind: type[Clock]) -> None:
    first, second = DeviceTime("A100", "one", "one/0"), DeviceTime("H100", "two", "two/0")

    def spend(clock: Clock, seconds: float) -> None:
        with clock.set_aside():
            now[0] += seconds

    clock = kind(started=now[0], place=first)
    clock.begin_loop()
    spend(clock, 5.0)
    saved = clock.state_dict()
    spend(clock, 9.0)  # lost: what comes after the snapshot
    clock = kind(started=now[0], place=second)
    clock.begin_loop()
    clock.load_state_dict(saved)
    spend(clock, 2.0)
    assert [(one.worker, one.seconds) for one in clock.devices(clock.total())] == [("one/0", 5.0), ("two/0", 2.0)]
    del saved["devices"]  # as an earlier version wrote it
    clock = kind(started=now[0], place=second)
    clock.begin_loop()
    clock.load_state_dict(saved)
    assert [(one.worker, one.seconds) for one in clock.devices(clock.total())] == [("two/0", 5.0)]
