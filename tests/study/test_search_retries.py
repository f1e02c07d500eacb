"""Searches that are stopped, killed or crash, and are resumed: points that are retried, and those
that are given up."""

from __future__ import annotations

import math
import os
import signal
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import pytest

from support.studies import PLAIN, points, searched
from support.toys import ToyEngine, session
from sweep.config.schema import Scalar
from sweep.errors import Interrupted
from sweep.records.trial import Failed, TrialPlan, TrialRecord, Verdict
from sweep.study.optuna_study import OptunaStudy
from sweep.study.search import _Loop, search


def test_an_interrupt_keeps_everything_and_the_point_is_tried_again(tmp_path: Path) -> None:
    def interrupt(trial: TrialPlan, epoch: int) -> None:
        if (trial.number, epoch) == (1, 2):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="1 of 4 trials"):
        searched(tmp_path / "b", "study.n_trials=4", *PLAIN, engine=ToyEngine(interrupt))
    resumed = searched(tmp_path / "b", "study.n_trials=4", *PLAIN)
    assert [record.state for record in resumed] == ["completed", "interrupted", "completed", "completed", "completed"]
    assert len(resumed[1].outcome.evals) == 1
    whole = searched(tmp_path / "a", "study.n_trials=4", *PLAIN)
    assert points([record for record in resumed if record.state == "completed"]) == points(whole)


def test_a_second_interrupt_stops_at_once(tmp_path: Path) -> None:
    def interrupt(trial: TrialPlan, epoch: int) -> None:
        if epoch == 2:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path, *PLAIN, engine=ToyEngine(interrupt))
    assert searched(tmp_path, "study.n_trials=1", *PLAIN)[0].state == "interrupted"


def test_a_killed_process_loses_no_row_and_its_point_is_tried_again(tmp_path: Path) -> None:
    with session(tmp_path, *PLAIN) as opened:
        optuna_study = OptunaStudy.open(opened.plan.config.study, opened.plan.space, opened.store)
        trial, params = optuna_study.ask()
        ToyEngine().run(
            iter([opened.plan.trial(trial.number, params), None]).__next__,
            lambda plan, step: opened.store.append_event(plan.number, step) or Verdict.CONTINUE,
            lambda plan, point: opened.store.append_event(plan.number, point) or Verdict.CONTINUE,
            lambda plan, outcome: None,
        )
    records = searched(tmp_path, "study.n_trials=1", *PLAIN)
    assert [record.state for record in records] == ["lost", "completed"]
    assert [point.index for point in records[0].outcome.evals] == [1, 2, 3]
    assert records[0].params == records[1].params


def test_a_recorded_trial_is_ended_in_the_storage(tmp_path: Path) -> None:
    with session(tmp_path, "study.n_trials=1", *PLAIN) as opened:
        record = search(opened)[0]
        study = optuna.load_study(study_name="quickstart", storage=f"sqlite:///{tmp_path / 'run' / 'study.db'}")
        asked = study.ask()
        opened.store.write_trial(TrialRecord(asked.number, {}, record.outcome, "", 3, "", ""))
        assert [found.number for found in search(opened)] == [0, 1]
    assert study.trials[1].value == study.trials[0].value


class SecondOnly(ToyEngine):
    """Trains two trials at once, and is killed when the second one has ended."""

    def run(self, next_trial: Any, on_step: Any, on_eval: Any, on_end: Any, _on_snapshot: Any = None) -> None:
        _, second = next_trial(), next_trial()
        training = self._train(second, on_step, on_eval)
        with pytest.raises(StopIteration) as ended:
            while True:
                next(training)
        on_end(second, ended.value.value)
        raise SystemExit


def test_a_trial_tried_again_is_ranked_by_the_place_of_its_point(tmp_path: Path) -> None:
    """Two trials have one score, and the first point has the higher number after a kill."""

    def equal(trial: TrialPlan) -> float:
        return 1 - 1 / (1 + abs(math.log10(trial.config.optimizer.learning_rate) + 3))

    plain = ("study.n_trials=2", "study.pruner=none")
    with session(tmp_path, *plain, engine=SecondOnly(luck=equal)) as opened, pytest.raises(SystemExit):
        search(opened)
    with session(tmp_path, *plain, engine=ToyEngine(luck=equal)) as opened:
        records = search(opened)
        first = opened.best()
    assert [(record.number, record.place, record.state) for record in records] == [
        (0, 0, "lost"), (1, 1, "completed"), (2, 0, "completed")
    ]  # fmt: skip
    scores = {record.best.metrics["eval/accuracy"] for record in records if record.best}
    assert len(scores) == 1 and first is not None and first.number == 2


def test_a_bug_stops_the_study_and_is_recorded(tmp_path: Path) -> None:
    def fail(trial: TrialPlan, epoch: int) -> None:
        if trial.number == 1:
            raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError):
        searched(tmp_path, *PLAIN, engine=ToyEngine(fail))
    resumed = searched(tmp_path, "study.n_trials=2", *PLAIN)
    assert [record.state for record in resumed] == ["completed", "crashed", "completed"]
    assert resumed[2].params == resumed[1].params


def die(folder: Path, trials: int, *, begun: bool = True) -> list[dict[str, Scalar]]:
    """Leave what a process leaves that is killed while it trains this many trials. Return their
    points."""
    with session(folder, *PLAIN) as opened:
        optuna_study = OptunaStudy.open(opened.plan.config.study, opened.plan.space, opened.store)
        _Loop(opened, optuna_study).recover()
        asked = [optuna_study.ask() for _ in range(trials)]
        for trial, _ in asked:
            if begun:
                opened.store.marks(trial.number).begin()
        optuna_study.close()
    return [params for _, params in asked]


def test_a_point_that_takes_the_process_down_twice_is_given_up_and_the_record_says_so(tmp_path: Path) -> None:
    die(tmp_path, 1)
    die(tmp_path, 1)
    records = searched(tmp_path, "study.n_trials=2", *PLAIN)
    assert [record.state for record in records] == ["lost", "lost", "completed"]
    assert records[0].params == records[1].params != records[2].params
    first, second = records[0].outcome, records[1].outcome
    assert isinstance(first, Failed) and isinstance(second, Failed)
    assert (first.given_up, second.given_up) == (False, True)
    assert "not tried again" in second.message


def test_a_point_is_not_given_up_for_what_others_may_have_done(tmp_path: Path) -> None:
    (together, beside), (again, _) = die(tmp_path, 2), die(tmp_path, 2)
    assert together == again
    die(tmp_path, 1)
    records = searched(tmp_path, "study.n_trials=2", *PLAIN)
    completed = [record.params for record in records if record.state == "completed"]
    assert together in completed and beside in completed


def test_a_process_that_dies_before_its_trial_begins_says_nothing_about_the_point(tmp_path: Path) -> None:
    points = [die(tmp_path, 1, begun=False) for _ in range(3)]
    records = searched(tmp_path, "study.n_trials=1", *PLAIN)
    assert [record.state for record in records] == ["lost", "lost", "lost", "completed"]
    assert [[record.params] for record in records[1:]] == points


def test_the_report_is_written_after_a_loss(tmp_path: Path) -> None:
    with session(tmp_path, *PLAIN) as opened:
        OptunaStudy.open(opened.plan.config.study, opened.plan.space, opened.store).ask()
    records = searched(tmp_path, "study.n_trials=1", *PLAIN)
    assert records[0].state == "lost"
    assert datetime.fromisoformat(records[0].started).tzinfo is not None
