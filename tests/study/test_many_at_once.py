"""A study whose engine runs three trials in turn."""

from __future__ import annotations

import json
import math
import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from support.toys import ToyEngine, session
from sweep.errors import Interrupted
from sweep.records.trial import Failed, TrialPlan, TrialRecord, Verdict
from sweep.study.optuna_study import OptunaStudy
from sweep.study.search import _Loop, search

PLAIN = ("study.pruner=none", "engine.slots=3")
RATE = "optimizer.learning_rate"


def searched(folder: Path, *overrides: str, engine: ToyEngine | None = None) -> list[TrialRecord]:
    with session(folder, *overrides, engine=engine or ToyEngine(slots=3)) as opened:
        return search(opened)


def points(records: list[TrialRecord]) -> list[str]:
    return [json.dumps(dict(record.params)) for record in records]


def counted(records: list[TrialRecord]) -> list[TrialRecord]:
    return [one for one in records if not (isinstance(one.outcome, Failed) and one.outcome.reason.retried)]


def interrupt(at: int, epoch: int) -> ToyEngine:
    def before(trial: TrialPlan, now: int) -> None:
        if (trial.number, now) == (at, epoch):
            os.kill(os.getpid(), signal.SIGINT)

    return ToyEngine(before, slots=3)


@pytest.mark.parametrize(("name", "space"), [("random", "quickstart"), ("qmc", "quickstart"), ("qmc", "adapters")])
def test_points_that_learn_from_none_are_the_same_however_many_run(tmp_path: Path, name: str, space: str) -> None:
    options = (f"study.sampler={name}", f"study.space={space}", "study.n_trials=4", *PLAIN)
    engine = ToyEngine(slots=3)
    many = searched(tmp_path / "a", *options, engine=engine)
    assert max(engine.together) == 3
    assert points(many) == points(searched(tmp_path / "b", *options, engine=ToyEngine()))
    assert len(set(points(many))) == 4


@pytest.mark.parametrize("name", ["tpe", "gp", "cmaes"])
def test_points_that_learn_differ_from_those_that_run(tmp_path: Path, name: str) -> None:
    records = searched(tmp_path, f"study.sampler={name}", "study.n_trials=8", *PLAIN)
    assert len(set(points(records))) == len(records) == 8


def test_tpe_keeps_away_from_points_that_still_run(tmp_path: Path) -> None:
    """One good point among bad ones: what is asked for next is near it, and so would all that run
    at once be."""

    def spread(folder: Path, *options: str) -> float:
        enqueue = ",".join(f"{{{RATE}: {rate}}}" for rate in ("1e-3", "3e-3", "5e-3", "7e-3", "9e-3"))
        space = tmp_path / "space.yaml"
        space.write_text(f"{RATE}: {{low: 1.0e-3, high: 1.0e-2}}\n")
        with session(folder, f"study.enqueue=[{enqueue}]", f"study.space={space}", *PLAIN, *options) as opened:
            optuna_study = OptunaStudy.open(opened.plan.config.study, opened.plan.space, opened.store)
            found = [optuna_study.ask() for _ in range(5)]
            ToyEngine().run(
                iter([*(opened.plan.trial(trial.number, params) for trial, params in found), None]).__next__,
                lambda plan, step: Verdict.CONTINUE,
                lambda plan, point: Verdict.CONTINUE,
                lambda plan, outcome: optuna_study.tell(found[plan.number][0], outcome),
            )
            rates = sorted(float(str(optuna_study.ask()[1][RATE])) for _ in range(6))
        return rates[-1] - rates[0]

    assert spread(tmp_path / "a") > spread(tmp_path / "b", "study.sampler_options={constant_liar: false}")


@pytest.mark.parametrize("name", ["random", "qmc"])
def test_a_resumed_study_asks_for_the_points_it_would_have(tmp_path: Path, name: str) -> None:
    options = (f"study.sampler={name}", "study.n_trials=5", *PLAIN)
    whole = searched(tmp_path / "a", *options)
    with pytest.raises(Interrupted):
        searched(tmp_path / "b", *options, engine=interrupt(at=1, epoch=2))
    resumed = searched(tmp_path / "b", *options)
    assert points(resumed) == points(whole)


def test_a_grid_is_walked_once(tmp_path: Path) -> None:
    options = ("study.sampler=grid", "study.space=grid", "study.n_trials=50", *PLAIN)
    with pytest.raises(Interrupted):
        searched(tmp_path, *options, engine=interrupt(at=4, epoch=1))
    records = counted(searched(tmp_path, *options))
    assert len(set(points(records))) == len(records) == 9


def test_known_points_are_tried_once_each(tmp_path: Path) -> None:
    enqueue = f"study.enqueue=[{{{RATE}: 2e-3}},{{{RATE}: 3e-3}},{{{RATE}: 4e-3}},{{{RATE}: 5e-3}}]"
    with pytest.raises(Interrupted):
        searched(tmp_path, enqueue, "study.n_trials=5", *PLAIN, engine=interrupt(at=2, epoch=1))
    records = counted(searched(tmp_path, enqueue, "study.n_trials=5", *PLAIN))
    assert len(records) == 5
    assert {2e-3, 3e-3, 4e-3, 5e-3} < {record.params[RATE] for record in records}


def test_methods_share_the_trials_equally(tmp_path: Path) -> None:
    group = ("study.space=adapters", "study.compare_by=adapter", "study.n_trials=4")
    with pytest.raises(Interrupted):
        searched(tmp_path, *group, *PLAIN, engine=interrupt(at=2, epoch=1))
    records = counted(searched(tmp_path, *group, *PLAIN))
    assert Counter(record.params["adapter"] for record in records) == {"lora": 2, "ia3": 1, "head": 1}


def test_a_weak_trial_is_pruned_while_others_run(tmp_path: Path) -> None:
    engine = ToyEngine(slots=3, luck=lambda trial: -float(trial.number))
    records = searched(
        tmp_path, "study.space=grid", "study.pruner=median", "study.n_trials=6", "engine.slots=3", engine=engine
    )
    assert [record.state for record in records[:3]] == ["completed"] * 3
    assert {record.state for record in records[3:]} == {"pruned"}


def test_one_is_pruned_one_crashes_and_the_others_are_stopped_with_it(tmp_path: Path) -> None:
    """Trials 0 to 2 complete, 3 is pruned, 4 brings the engine down in its last epoch, with two
    beside it."""

    def fail(trial: TrialPlan, epoch: int) -> None:
        if (trial.number, epoch) == (4, 3):
            raise ZeroDivisionError("a bug")

    options = (
        "study.space=grid",
        "study.pruner=median",
        "trainer.eval_strategy=epoch",
        "study.n_trials=8",
        "engine.slots=3",
    )
    engine = ToyEngine(fail, slots=3, luck=lambda trial: -9.0 if trial.number == 3 else float(trial.number))
    with pytest.raises(ZeroDivisionError):
        searched(tmp_path, *options, engine=engine)
    with session(tmp_path, *options) as opened:
        left = opened.store.trials()
    assert [record.state for record in left] == ["completed"] * 3 + ["pruned"] + ["crashed"] * 3
    assert [len(record.outcome.evals) for record in left] == [3, 3, 3, 2, 2, 2, 1]
    records = searched(tmp_path, *options)
    assert len(counted(records)) == 8
    assert points(records[7:10]) == points(left[4:7])


def test_an_interrupt_ends_all_that_run(tmp_path: Path) -> None:
    with pytest.raises(Interrupted, match="0 of 5 trials"):
        searched(tmp_path, "study.n_trials=5", *PLAIN, engine=interrupt(at=1, epoch=2))
    records = searched(tmp_path, "study.n_trials=5", *PLAIN)
    assert [(record.number, record.state) for record in records] == [(number, "completed") for number in range(5)]


def test_a_second_interrupt_puts_each_away(tmp_path: Path) -> None:
    def twice(trial: TrialPlan, epoch: int) -> None:
        if (trial.number, epoch) == (1, 2):
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path, *PLAIN, engine=ToyEngine(twice, slots=3))
    with session(tmp_path, *PLAIN) as opened:
        assert opened.store.trials() == [] and not list(opened.store.root.glob("trials/*/running"))
    assert len(searched(tmp_path, *PLAIN)) == 6


def test_failures_that_count_and_those_that_do_not_never_overshoot(tmp_path: Path) -> None:
    engine = ToyEngine(slots=3, luck=lambda trial: math.nan if trial.number % 3 == 1 else 0.0)
    records = searched(tmp_path, "study.n_trials=7", *PLAIN, engine=engine)
    assert Counter(record.state for record in records) == {"completed": 5, "diverged": 2}


def test_the_adapter_of_a_running_trial_is_kept(tmp_path: Path) -> None:
    """Trial 0 is the best; trial 2, which diverges, ends while the others are half way."""
    seen: list[set[int]] = []

    def save(trial: TrialPlan, epoch: int) -> None:
        (opened.store.trial_dir(trial.number) / "best").mkdir(parents=True, exist_ok=True)
        seen.append({int(path.parent.name) for path in opened.store.root.glob("trials/*/best")})

    luck = {0: 2.0, 1: 0.0, 2: math.nan, 3: 0.0}
    engine = ToyEngine(save, slots=3, luck=lambda trial: luck[trial.number])
    with session(tmp_path, "study.n_trials=4", *PLAIN, engine=engine) as opened:
        search(opened)
        assert [path.parent.name for path in opened.store.root.glob("trials/*/best")] == ["0000"]
    assert seen[:4] == [{0}, {0, 1}, {0, 1, 2}, {0, 1}]
    assert seen[-1] == {0, 3}


def test_after_the_timeout_what_runs_ends_and_nothing_starts(tmp_path: Path) -> None:
    engine = ToyEngine(slots=3)
    with session(tmp_path, "study.n_trials=9", "study.timeout=10", *PLAIN, engine=engine) as opened:
        loop = _Loop(opened, OptunaStudy.open(opened.plan.config.study, opened.plan.space, opened.store))
        engine.before = lambda trial, epoch: setattr(loop.limits, "began", -1e9) if epoch == 3 else None
        loop.run(engine)
        assert [record.state for record in opened.store.trials()] == ["completed"] * 3


@pytest.mark.parametrize(("limit", "state", "evaluated"), [(1.5, "completed", 3), (0.5, "timed_out", 1)])
def test_a_trial_has_its_time_to_itself(tmp_path: Path, limit: float, state: str, evaluated: int) -> None:
    """Three trials of a second each: what the others take counts for none."""
    records = searched(tmp_path, f"study.trial_timeout={limit}", "study.n_trials=3", *PLAIN)
    assert [record.state for record in records] == [state] * 3
    assert [len(record.outcome.evals) for record in records] == [evaluated] * 3
