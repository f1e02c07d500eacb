"""Budgets: what a search may use up over all its runs."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from support.studies import PLAIN, Undisturbed, points, searched
from support.toys import ToyEngine, session
from sweep.config.budget import BudgetConfig
from sweep.engine.snapshot import encode
from sweep.records.events import append_row
from sweep.records.spent import Spent, limited, read_spent, write_spent
from sweep.records.store import Store
from sweep.records.trial import Step, TrialPlan, TrialRecord
from sweep.study.budget import Budget
from sweep.study.failures_in_a_row import FailuresInARow
from sweep.study.limits import Limits
from sweep.study.search import search

RANDOM = ("study.sampler=random", *PLAIN)


class Clock:
    """Stands for the clocks of the program: each epoch of a trial takes `step` seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step: float) -> None:
        self.now, self.step = time.monotonic(), step
        monkeypatch.setattr("sweep.study.budget.time", SimpleNamespace(monotonic=lambda: self.now))

    def __call__(self, _trial: TrialPlan, _epoch: int) -> None:
        self.now += self.step


def states(records: list[TrialRecord]) -> list[str]:
    return [record.state for record in records]


def test_no_trial_starts_after_the_budget_of_trials(
    tmp_path: Path, undisturbed: Undisturbed, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("study.n_trials=6", *RANDOM)
    whole = undisturbed(*options).records
    for budgeted in (2, 2, 4):
        records = searched(tmp_path / "cut", *options, f"study.budget.trials={budgeted}", engine=ToyEngine(slots=2))
        assert states(records) == ["completed"] * budgeted
        assert f"{budgeted} of {budgeted} trials used up" in capsys.readouterr().err
    records = searched(tmp_path / "cut", *options)
    assert points(records) == points(whole)


def test_trials_that_start_again_count_once_more(tmp_path: Path) -> None:
    def crash(trial: TrialPlan, epoch: int) -> None:
        raise RuntimeError("a bug")

    options = ("study.n_trials=6", "study.budget.trials=3", *RANDOM)
    with pytest.raises(RuntimeError, match="a bug"):
        searched(tmp_path, *options, engine=ToyEngine(before=crash))
    assert states(searched(tmp_path, *options)) == ["crashed", "completed", "completed"]


def test_trials_are_put_away_when_the_seconds_are_used_up(
    tmp_path: Path, undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three epochs of ten seconds a trial: the second trial is put away within its second epoch,
    and goes on from there with a larger budget."""
    options = ("study.n_trials=3", *RANDOM)
    whole = undisturbed(*options).records
    clock = Clock(monkeypatch, 10)
    records = searched(tmp_path / "cut", *options, "study.budget.seconds=45", engine=ToyEngine(before=clock))
    assert states(records) == ["completed"]
    assert "note: study.budget.seconds is used up" in capsys.readouterr().err
    engine = ToyEngine(before=clock)
    assert searched(tmp_path / "cut", *options, "study.budget.seconds=45", engine=engine) == records
    assert engine.trained == []
    again = searched(tmp_path / "cut", *options, "study.budget.seconds=1000", engine=engine)
    assert [trial.number for trial in engine.trained] == [1, 2]
    assert engine.trained[0].snapshot is not None
    assert [(one.params, one.outcome.evals) for one in again] == [(one.params, one.outcome.evals) for one in whole]
    spent = read_spent(tmp_path / "cut" / "run")
    assert spent is not None and 90 <= spent.seconds <= 110 and spent.trials == 3


def test_a_trial_without_snapshots_is_trained_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("study.n_trials=3", "study.snapshots=never", "study.budget.seconds=45", *RANDOM)
    records = searched(tmp_path, *options, engine=ToyEngine(before=Clock(monkeypatch, 10)))
    assert states(records) == ["completed", "completed"]


def test_a_trial_that_turns_out_not_to_be_savable_is_trained_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That a state cannot be saved may show only where the trial is trained."""
    engine = ToyEngine(before=Clock(monkeypatch, 10), savable=False)
    options = ("study.n_trials=3", "study.budget.seconds=45", *RANDOM)
    assert states(searched(tmp_path, *options, engine=engine)) == ["completed", "completed"]


def test_device_hours_are_the_time_of_all_trials(tmp_path: Path) -> None:
    """A toy trial costs a second."""
    hours = 2.5 / 3600
    options = ("study.n_trials=9", f"study.budget.device_hours={hours}", *RANDOM)
    with session(tmp_path, *options, engine=ToyEngine(slots=2)) as opened:
        search(opened)
        assert states(opened.store.trials()) == ["completed", "completed"]
    assert searched(tmp_path, *options) == opened.store.trials()
    spent = read_spent(tmp_path / "run")
    assert spent is not None and hours <= spent.device_hours < hours + 1 / 3600


def test_a_budget_smaller_than_a_trial_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock(monkeypatch, 10)
    assert searched(tmp_path, "study.budget.seconds=5", *RANDOM, engine=ToyEngine(before=clock)) == []
    assert "used up, and no trial has completed" in capsys.readouterr().err


def test_a_clock_that_jumps_ends_and_prolongs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day forth, then two days back."""
    real, jump = time.time, 0.0

    def before(trial: TrialPlan, epoch: int) -> None:
        nonlocal jump
        jump = {0: 86400.0, 1: -86400.0}.get(trial.number, 0.0)

    monkeypatch.setattr(time, "time", lambda: real() + jump)
    options = ("study.n_trials=3", "study.timeout=600", "study.budget.seconds=600", "study.trial_timeout=600")
    assert states(searched(tmp_path, *options, *RANDOM, engine=ToyEngine(before=before))) == ["completed"] * 3
    spent = read_spent(tmp_path / "run")
    assert spent is not None and 0 < spent.seconds < 600


def test_time_since_the_last_snapshot_counts_though_its_training_is_lost(tmp_path: Path) -> None:
    plan = TrialPlan(3, {}, object(), 10, "")
    counted = Budget.open(BudgetConfig(), Store(tmp_path), started=lambda: 1)
    counted.count(plan, 60.0)
    counted.count(plan, 90.0)
    counted.note()
    goes_on = TrialPlan(3, {}, object(), 10, "", snapshot=encode({}, 5, seconds=60.0))
    counted = Budget.open(BudgetConfig(), Store(tmp_path), started=lambda: 1)
    for seconds in (2.0, 61.0, 70.0):  # less than before until the engine has taken up the snapshot
        counted.count(goes_on, seconds)
    counted.ended(goes_on, 100.0)
    assert counted.spent.device_seconds == 90 + 40


def test_what_a_snapshot_on_a_worker_holds_is_not_counted_again(tmp_path: Path) -> None:
    """The study does not have the snapshots of a training of all weights."""
    config: Any = SimpleNamespace(adapter=SimpleNamespace(trains="everything"))
    plan, store = TrialPlan(3, {}, config, 10, ""), Store(tmp_path)
    first = Budget.open(BudgetConfig(), store, started=lambda: 1)
    first.count(plan, 60.0)
    first.ended(plan, 90.0)
    first.note()
    append_row(Step(5, 10, 1.0), store.trial_dir(3))
    again = Budget.open(BudgetConfig(), store, started=lambda: 1)
    for seconds in (91.0, 95.0):
        again.count(plan, seconds)
    again.ended(plan, 100.0)
    assert again.spent.device_seconds == 90 + 9


def test_the_smallest_of_all_limits_of_time_is_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two devices train at once: of an hour of devices they leave half an hour."""
    clock = Clock(monkeypatch, 0)
    monkeypatch.setattr("sweep.study.limits.time", SimpleNamespace(monotonic=lambda: clock.now))
    counted = Budget.open(BudgetConfig(seconds=7200, device_hours=1, trials=5), Store(tmp_path), started=lambda: 2)
    began = clock.now
    limits = Limits(counted, FailuresInARow(None), timeout=7000, began=began)
    assert limits.seconds_left == 7000 and limits.most(begun=2) == 5
    for seconds in (0.0, 100.0):
        clock.now = began + seconds
        for number in (0, 1):
            counted.count(TrialPlan(number, {}, object(), 10, ""), seconds)
    assert limits.seconds_left == pytest.approx((3600 - 200) / 2)
    clock.now = began + 6900
    assert limits.seconds_left == pytest.approx(100)
    free = Budget.open(BudgetConfig(), Store(tmp_path), started=lambda: 2)
    assert Limits(free, FailuresInARow(None)).seconds_left is None and free.trials_left is None


def test_a_full_disk_at_a_note_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Budget.open(BudgetConfig(), Store(tmp_path), started=lambda: 1)
    write_spent(tmp_path, Spent(5.0, 4.0, 3))

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        counted.note()
    assert read_spent(tmp_path) == Spent(5.0, 4.0, 3)
    counted.note()
    assert read_spent(tmp_path) != Spent(5.0, 4.0, 3)


def test_a_damaged_note_is_made_again_from_the_records(tmp_path: Path) -> None:
    searched(tmp_path, "study.n_trials=2", *RANDOM)
    (tmp_path / "run" / "budget.json").write_text("{")
    assert Budget.open(BudgetConfig(), Store(tmp_path / "run"), started=lambda: 2).earlier == Spent(2.0, 2.0)


def test_amounts_are_short() -> None:
    found = limited(BudgetConfig(device_hours=0.5, seconds=86400, trials=3), Spent(1234.5678, 3.6, 4))
    assert [str(one) for one in found] == [
        "0.001 of 0.5 device hours", "1,234.57 of 86,400 seconds", "4 of 3 trials"
    ]  # fmt: skip
    assert [one.left for one in found] == [0.499, 85165.4322, 0]
