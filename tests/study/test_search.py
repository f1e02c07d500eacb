from __future__ import annotations

import errno
import json
import math
import os
import shutil
import signal
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import pytest

from support.toys import ToyEngine, session
from sweep.errors import Interrupted, UserError
from sweep.records.recovery import recover
from sweep.records.store import Store
from sweep.records.trial import Completed, Failed, Pruned, TrialPlan, TrialRecord, Verdict
from sweep.study.optuna_study import OptunaStudy, known_experiment
from sweep.study.search import _Loop, search

PLAIN = ("study.pruner=none",)


def searched(folder: Path, *overrides: str, engine: ToyEngine | None = None) -> list[TrialRecord]:
    with session(folder, *overrides, engine=engine) as opened:
        return search(opened)


def points(records: list[TrialRecord]) -> list[str]:
    return [json.dumps(dict(record.params)) for record in records]


def test_every_trial_has_a_record_and_is_scored_by_its_best_evaluation(tmp_path: Path) -> None:
    records = searched(tmp_path, "study.n_trials=4", *PLAIN)
    assert [record.number for record in records] == [0, 1, 2, 3]
    study = optuna.load_study(study_name="quickstart", storage=f"sqlite:///{tmp_path / 'run' / 'study.db'}")
    for record, trial in zip(records, study.trials, strict=True):
        assert isinstance(record.outcome, Completed)
        assert record.outcome.best.index == 2
        assert trial.value == record.outcome.best.metrics["eval/accuracy"]
        assert trial.user_attrs == {
            "outcome": "completed", "best_epoch": 2.0, "place": record.number, "seconds": 1.0, **record.outcome.best.metrics
        }  # fmt: skip
    assert study.metric_names == ["eval/accuracy"]
    assert study.user_attrs["run_directory"] == str(tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("racing", "finalists: 1"),
        ("median", "n_startup_trials: 1, n_warmup_steps: 0"),
        ("percentile", "percentile: 10.0, n_startup_trials: 1, n_warmup_steps: 0"),
        ("successive_halving", "reduction_factor: 2"),
        ("hyperband", "min_resource: 1, max_resource: 9, reduction_factor: 3"),
    ],
)
def test_no_pruner_stops_a_trial_within_its_warmup(tmp_path: Path, name: str, options: str) -> None:
    """Each trial is worse than the one before, and the warmup ends between the first evaluation and the second."""
    scarce = ("study.n_trials=8", "study.sampler=random", "trainer.eval_strategy=epoch", f"study.pruner={name}")
    scarce = (*scarce, f"study.pruner_options={{{options}}}")
    stopped = {}
    for warmup in (0.0, 0.5):
        engine = ToyEngine(luck=lambda trial: -float(trial.number))
        records = searched(tmp_path / str(warmup), *scarce, f"optimizer.warmup_steps={warmup}", engine=engine)
        stopped[warmup] = {len(record.outcome.evals) for record in records if isinstance(record.outcome, Pruned)}
        for record in records:
            if isinstance(record.outcome, Pruned):
                assert record.outcome.evals[-1].step > warmup * record.total_steps
    assert 1 in stopped[0.0] and stopped[0.5] == {2}


def test_the_same_command_goes_on_to_the_total(tmp_path: Path) -> None:
    whole = searched(tmp_path / "a", "study.n_trials=6", *PLAIN)
    searched(tmp_path / "b", "study.n_trials=2", *PLAIN)
    engine = ToyEngine()
    resumed = searched(tmp_path / "b", "study.n_trials=6", *PLAIN, engine=engine)
    assert [trial.number for trial in engine.trained] == [2, 3, 4, 5]
    assert points(resumed) == points(whole)
    engine = ToyEngine()
    assert searched(tmp_path / "b", "study.n_trials=6", *PLAIN, engine=engine) == resumed
    assert engine.trained == []


@pytest.mark.parametrize("name", ["tpe", "random", "qmc", "cmaes", "gp"])
def test_each_sampler_asks_for_the_same_points_when_resumed(tmp_path: Path, name: str) -> None:
    options = (f"study.sampler={name}", *PLAIN)
    whole = searched(tmp_path / "a", "study.n_trials=7", *options)
    searched(tmp_path / "b", "study.n_trials=3", *options)
    assert points(searched(tmp_path / "b", "study.n_trials=7", *options)) == points(whole)
    assert len(set(points(whole))) > 3


def test_a_grid_is_walked_once_and_then_ends(tmp_path: Path) -> None:
    options = ("study.sampler=grid", "study.space=grid", "study.n_trials=50", *PLAIN)
    records = searched(tmp_path, *options)
    assert len(set(points(records))) == len(records) == 9


@pytest.mark.parametrize("name", ["median", "racing", "successive_halving", "hyperband", "percentile", "patient"])
def test_each_pruner_runs(tmp_path: Path, name: str) -> None:
    records = searched(tmp_path, f"study.pruner={name}", "study.n_trials=8")
    assert {record.state for record in records} <= {"completed", "pruned"}
    assert any(record.state == "completed" for record in records)


def test_a_weak_trial_is_pruned_and_keeps_its_evaluations(tmp_path: Path) -> None:
    enqueue = "study.enqueue=[{optimizer.learning_rate: 1e-3},{optimizer.learning_rate: 1.1e-3},{optimizer.learning_rate: 9e-3}]"
    record = searched(tmp_path, enqueue, "study.n_trials=3", "study.pruner=median", "trainer.eval_strategy=epoch")[2]
    assert record.state == "pruned"
    assert [point.index for point in record.outcome.evals] == [1, 2]


def test_known_points_come_first(tmp_path: Path) -> None:
    first, second = searched(tmp_path, "study.enqueue=[{optimizer.learning_rate: 2e-3}]", "study.n_trials=2", *PLAIN)
    assert first.params["optimizer.learning_rate"] == 2e-3
    assert second.params["optimizer.learning_rate"] != 2e-3


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


def test_a_trial_that_was_recorded_but_not_told_is_told(tmp_path: Path) -> None:
    with session(tmp_path, "study.n_trials=1", *PLAIN) as opened:
        record = search(opened)[0]
        study = optuna.load_study(study_name="quickstart", storage=f"sqlite:///{tmp_path / 'run' / 'study.db'}")
        asked = study.ask()
        opened.store.write_trial(TrialRecord(asked.number, {}, record.outcome, "", 3, "", ""))
        assert [found.number for found in search(opened)] == [0, 1]
    assert study.trials[1].value == study.trials[0].value


class SecondOnly(ToyEngine):
    """Trains two trials at once, and is killed when the second one has ended."""

    def run(self, next_trial: Any, on_step: Any, on_eval: Any, on_end: Any) -> None:
        _, second = next_trial(), next_trial()
        course = self._course(second, on_step, on_eval)
        with pytest.raises(StopIteration) as ended:
            while True:
                next(course)
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


def test_a_trial_beyond_its_time_is_failed_and_counts(tmp_path: Path) -> None:
    records = searched(tmp_path, "study.trial_timeout=1e-9", "study.n_trials=2", *PLAIN)
    assert [record.state for record in records] == ["timed_out", "timed_out"]


def test_after_the_timeout_no_trial_starts(tmp_path: Path) -> None:
    assert searched(tmp_path, "study.timeout=1e-9", *PLAIN) == []


def test_conditional_keys_are_asked_for_only_then(tmp_path: Path) -> None:
    records = searched(tmp_path, "study.space=adapters", "study.n_trials=12", "study.sampler=random", *PLAIN)
    assert {record.params["adapter"] for record in records} == {"lora", "ia3", "head"}
    for record in records:
        assert ("adapter.r" in record.params) == (record.params["adapter"] == "lora")
        assert f"adapter={record.params['adapter']}" in record.command


def test_rows_are_on_disk_while_the_trial_runs(tmp_path: Path) -> None:
    seen: list[int] = []
    with session(
        tmp_path, "study.n_trials=1", *PLAIN, engine=ToyEngine(lambda trial, epoch: seen.append(len(store.events(0))))
    ) as opened:
        store = opened.store
        search(opened)
    assert seen == [0, 2, 4]


def test_values_that_break_a_rule_together_are_an_answer(tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(
        "optimizer.lr_scheduler_type: {choices: [linear, constant]}\noptimizer.warmup_steps: {choices: [0, 5]}\n"
    )
    records = searched(tmp_path, f"study.space={space}", "study.sampler=random", "study.n_trials=12", *PLAIN)
    assert {record.state for record in records} == {"completed", "infeasible"}
    assert len(records) == 12
    for record in records:
        broken = record.params == {"optimizer.lr_scheduler_type": "constant", "optimizer.warmup_steps": 5}
        assert (record.state == "infeasible") == broken


def die(folder: Path, trials: int, *, begun: bool = True) -> list[dict[str, object]]:
    """What a process leaves that is killed while it trains so many trials; their points."""
    with session(folder, *PLAIN) as opened:
        optuna_study = OptunaStudy.open(opened.plan.config.study, opened.plan.space, opened.store)
        _Loop(opened, optuna_study).recover()
        asked = [optuna_study.ask() for _ in range(trials)]
        for trial, _ in asked:
            if begun:
                opened.store.begin_trial(trial.number)
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


def test_a_study_of_another_experiment_in_the_storage_is_refused(tmp_path: Path) -> None:
    storage = f"study.storage=sqlite:///{tmp_path / 'shared.db'}"
    searched(tmp_path / "a", storage, "study.n_trials=1", *PLAIN)
    with pytest.raises(UserError, match="not the one in"):
        searched(tmp_path / "b", storage, "study.n_trials=1", *PLAIN)
    (tmp_path / "shared.db").unlink()
    with pytest.raises(UserError, match="not the one in"):
        searched(tmp_path / "a", storage, "study.n_trials=1", *PLAIN)


def test_the_report_is_written_after_a_loss(tmp_path: Path) -> None:
    with session(tmp_path, *PLAIN) as opened:
        OptunaStudy.open(opened.plan.config.study, opened.plan.space, opened.store).ask()
    records = searched(tmp_path, "study.n_trials=1", *PLAIN)
    assert records[0].state == "lost"
    assert datetime.fromisoformat(records[0].started).tzinfo is not None


def test_a_storage_that_fails_on_the_way_is_told(tmp_path: Path) -> None:
    """Here a table is gone, as it may be a server or the room on a disk. With it back the study goes on."""
    database = tmp_path / "run" / "study.db"

    def rename(old: str, new: str) -> None:
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute(f"ALTER TABLE {old} RENAME TO {new}")

    def lose(trial: TrialPlan, epoch: int) -> None:
        if (trial.number, epoch) == (1, 2):
            rename("trial_intermediate_values", "gone")

    with pytest.raises(UserError, match=r"study.storage: SQLite in run_dir failed: .*no such table"):
        searched(tmp_path, "study.n_trials=3", *PLAIN, engine=ToyEngine(before=lose))
    rename("gone", "trial_intermediate_values")
    records = searched(tmp_path, "study.n_trials=3", *PLAIN)
    assert [record.state for record in records] == ["completed", "crashed", "completed", "completed"]
    assert records[2].params == records[1].params


def test_what_ends_a_study_is_told_though_its_storage_fails_too(tmp_path: Path) -> None:
    def lose(trial: TrialPlan, _epoch: int) -> None:
        with closing(sqlite3.connect(tmp_path / "run" / "study.db")) as connection, connection:
            connection.execute("ALTER TABLE trials RENAME TO gone")
        raise OSError(errno.ENOSPC, "No space left on device", "somewhere")

    with pytest.raises(OSError, match="somewhere"):
        searched(tmp_path, "study.n_trials=3", *PLAIN, engine=ToyEngine(before=lose))


class FullDisk:
    """From trial `number`'s third epoch on nothing more can be written to files, until there is room again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        self.number, self.full = number, False
        real = os.fsync

        def fsync(handle: int) -> None:
            if self.full:
                raise OSError(errno.ENOSPC, "No space left on device")
            real(handle)

        monkeypatch.setattr(os, "fsync", fsync)

    def __call__(self, trial: TrialPlan, epoch: int) -> None:
        self.full = self.full or (trial.number, epoch) == (self.number, 3)


@pytest.mark.parametrize("slots", [1, 3])
def test_a_full_disk_says_nothing_about_a_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slots: int) -> None:
    """Three times there is no room for the record of the same point, and it comes again each time."""
    options = ("study.n_trials=3", *PLAIN)
    whole = searched(tmp_path / "whole", *options)
    disk = FullDisk(monkeypatch, slots)
    for number in (0, slots, 2 * slots):
        disk.number, disk.full = number, False
        with pytest.raises(OSError, match="No space left"):
            searched(tmp_path, *options, engine=ToyEngine(before=disk, slots=slots))
        disk.full = False
    records = searched(tmp_path, *options)
    assert [record.state for record in records if record.state != "completed"] == ["disk_failed"] * (3 * slots)
    completed = [record for record in records if record.state == "completed"]
    assert sorted(points(completed)) == sorted(points(whole))


def test_a_damaged_record_is_made_again_from_the_storage_and_the_events(tmp_path: Path) -> None:
    options = ("study.n_trials=4", "study.pruner=median", "trainer.eval_strategy=epoch")
    whole = searched(tmp_path, *options)
    with session(tmp_path, *options) as opened:
        for record in whole[:3]:
            (opened.store.trial_dir(record.number) / "record.json").write_text("")
        assert len(recover(opened.store)) == 3
    again = searched(tmp_path, *options)
    for record, made in zip(whole, again, strict=True):
        assert (made.number, made.params, made.state, made.command) == (
            record.number, record.params, record.state, record.command
        )  # fmt: skip
        assert made.outcome.evals == record.outcome.evals
        assert made.best == record.best


def test_two_run_directories_cannot_share_a_study_at_the_same_time(tmp_path: Path) -> None:
    storage = f"study.storage=sqlite:///{tmp_path / 'shared.db'}"
    with session(tmp_path / "a", storage, *PLAIN) as first:
        OptunaStudy.open(first.plan.config.study, first.plan.space, first.store).close()
        with pytest.raises(UserError, match="belongs to the run directory .*/a/run"):
            searched(tmp_path / "b", storage, "study.n_trials=1", *PLAIN)
        assert len(search(first)) == 6
    (tmp_path / "a").rename(tmp_path / "moved")
    assert len(searched(tmp_path / "moved", storage, "study.n_trials=7", *PLAIN)) == 7


def test_a_run_directory_that_is_gone_and_has_left_nothing_keeps_no_study(tmp_path: Path) -> None:
    storage = f"study.storage=sqlite:///{tmp_path / 'shared.db'}"
    with session(tmp_path / "a", storage, *PLAIN) as first:
        OptunaStudy.open(first.plan.config.study, first.plan.space, first.store).close()
    shutil.rmtree(tmp_path / "a")
    assert len(searched(tmp_path / "b", storage, "study.n_trials=1", *PLAIN)) == 1


def test_any_character_of_a_path_may_be_in_the_run_directory(tmp_path: Path) -> None:
    with session(tmp_path, *PLAIN) as opened:
        for name in ("a?b", "a#b", "a%41b", "a{b}c", "a b&c=d;e", "a[b]"):
            store = Store(tmp_path / name)
            store.root.mkdir()
            optuna_study = OptunaStudy.open(opened.plan.config.study, opened.plan.space, store)
            assert optuna_study.ask()[0].number == 0
            optuna_study.close()
            assert (store.root / "study.db").exists()
            assert known_experiment(opened.plan.config.study, store) == ""
    names = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
    assert names == {"a?b", "a#b", "a%41b", "a{b}c", "a b&c=d;e", "a[b]", "run"}
