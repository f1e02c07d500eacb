"""Searches whose engine crashes, and points that are retried under a new number."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from support.studies import PLAIN, searched
from support.toys import ToyEngine, session
from sweep.errors import UserError
from sweep.records.cost import Cost
from sweep.records.trial import Failed, FailureReason, TrialPlan, TrialRecord
from sweep.study.optuna_study import OptunaStudy
from sweep.study.search import search


def test_a_recorded_trial_is_ended_in_the_storage(tmp_path: Path) -> None:
    with session(tmp_path, "study.n_trials=1", *PLAIN) as opened:
        record = search(opened)[0]
        study = optuna.load_study(study_name="quickstart", storage=f"sqlite:///{tmp_path / 'run' / 'study.db'}")
        asked = study.ask()
        opened.ended.write(TrialRecord(asked.number, {}, record.outcome, "", 3, "", ""))
        assert [found.number for found in search(opened)] == [0, 1]
    assert study.trials[1].value == study.trials[0].value


def test_a_bug_stops_the_study_and_is_recorded(tmp_path: Path) -> None:
    def fail(trial: TrialPlan, epoch: int) -> None:
        if (trial.number, epoch) == (1, 2):
            raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError):
        searched(tmp_path, *PLAIN, engine=ToyEngine(fail))
    resumed = searched(tmp_path, "study.n_trials=2", *PLAIN)
    assert [record.state for record in resumed] == ["completed", "crashed", "completed"]
    assert resumed[2].params == resumed[1].params
    assert not list((tmp_path / "run" / "snapshots").iterdir())


def test_trials_go_on_after_a_fault_of_the_user(tmp_path: Path) -> None:
    """Trial 1 has a metric that raises."""

    def fail(trial: TrialPlan, epoch: int) -> None:
        if (trial.number, epoch) == (1, 3):
            raise UserError.of("dataset.metrics", "is mymetrics.brier, which raised KeyError: 'SCALE'")

    with pytest.raises(UserError, match="SCALE"):
        searched(tmp_path, *PLAIN, engine=ToyEngine(fail, slots=3))
    epochs: list[int] = []

    def note(trial: TrialPlan, epoch: int) -> None:
        epochs.extend([epoch] if trial.number == 1 else [])

    resumed = searched(tmp_path, "study.n_trials=3", *PLAIN, engine=ToyEngine(note))
    assert [record.state for record in resumed] == ["completed"] * 3
    assert epochs == [3]
    assert not list((tmp_path / "run").glob("trials/*/running"))


def test_points_that_an_earlier_version_recorded_as_stopped_are_tried_again(tmp_path: Path) -> None:
    """It recorded an interrupted and a lost trial, and enqueued their points."""
    with session(tmp_path, *PLAIN) as opened:
        optuna_study = OptunaStudy.open(opened.plan.config.study, opened.plan.space, opened.store)
        asked = [optuna_study.ask() for _ in range(2)]
        for reason, (trial, params) in zip((FailureReason.INTERRUPTED, FailureReason.LOST), asked, strict=True):
            failed = Failed(reason, "", (), Cost())
            opened.store.write_trial(TrialRecord(trial.number, params, failed, "", 3, "", "", place=trial.number))
            optuna_study.tell(trial, failed)
        optuna_study.close()
    records = searched(tmp_path, "study.n_trials=2", *PLAIN)
    assert [record.state for record in records] == ["interrupted", "lost", "completed", "completed"]
    assert [record.params for record in records[:2]] == [record.params for record in records[2:]]
    assert [record.place for record in records] == [0, 1, 0, 1]
