"""Searches with `study.limits`: which trials are infeasible, when, and what is known of them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from optuna.trial import FrozenTrial, TrialState

from support.studies import PLAIN, searched
from support.toys import ToyEngine, plan, session
from sweep.config.settings import TrainSettings
from sweep.errors import UserError
from sweep.final.confirm import choose
from sweep.records.cost import Cost
from sweep.records.final import Parameters
from sweep.records.store import Store
from sweep.records.trial import Failed, FailureReason, Pruned, TrialPlan, TrialRecord
from sweep.study import feasibility
from sweep.study.optuna_study import OptunaStudy
from sweep.study.search import search
from sweep.study.session import Session
from sweep.track.tracker import trial_ending, trial_rows

RATE = "optimizer.learning_rate"
LATENCY = ("study.limits={predict.latency_ms: 5}", "study.sampler=random", "study.n_trials=8", *PLAIN)


def slow(trial: TrialPlan) -> Mapping[str, float]:
    """Return the latency of a trial: 6 ms or more above a learning rate of 3e-3."""
    rate = float(str(trial.params[RATE]))
    return {"predict.latency_ms": 4.0 if rate <= 3e-3 else 6.0 + rate}


def in_optuna(opened: Session) -> list[FrozenTrial]:
    with closing(OptunaStudy.open(opened.plan.config.study, opened.plan.space, opened.store)) as study:
        return study.ended()


def failed(record: TrialRecord) -> Failed:
    assert isinstance(record.outcome, Failed)
    return record.outcome


def test_a_trial_beyond_a_limit_is_infeasible_and_does_not_win(tmp_path: Path) -> None:
    engine = ToyEngine(measures=slow)
    with session(tmp_path, *LATENCY, engine=engine) as opened:
        records = search(opened)
        frozen = in_optuna(opened)
        study = opened.plan.config.study
        best = opened.ended.best()
    assert len(records) == len(engine.trained) == 8
    assert {record.state for record in records} == {"completed", "infeasible"}
    for record, trial in zip(records, frozen, strict=True):
        value = record.measured["predict.latency_ms"]
        assert (record.state == "infeasible") == (value > 5) == (float(str(record.params[RATE])) > 3e-3)
        assert trial.constraints == pytest.approx({"predict.latency_ms": value / 5 - 1})
        assert (trial.state is TrialState.FAIL) == (value > 5)
        assert trial_ending(record, study).summary is not None
    infeasible = [record for record in records if record.state == "infeasible"]
    first = failed(infeasible[0])
    assert first.excess == {"predict.latency_ms": pytest.approx(infeasible[0].measured["predict.latency_ms"] / 5 - 1)}
    assert "predict.latency_ms is 6.0" in first.message and "above the limit of 5" in first.message
    assert first.evals and first.cost.steps  # what it reached is kept
    assert best is not None and best.state == "completed"
    assert infeasible[0].measured["predict.latency_ms"] == trial_rows(infeasible, study)[0]["predict/latency_ms"]
    # nothing is tried again, and the limits belong to the experiment
    assert searched(tmp_path, *LATENCY, engine=engine) == records and len(engine.trained) == 8


def test_a_limit_on_parameters_is_known_before_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counted(settings: TrainSettings, *_: object) -> Parameters:
        asked.append(rank := getattr(settings.adapter, "r", 0))
        return Parameters(10**6, 1000 * rank, 10**7)

    monkeypatch.setattr(feasibility, "preflight", counted)
    space = tmp_path / "space.yaml"
    space.write_text("adapter.r: {choices: [2, 4, 8, 16]}\n")
    engine = ToyEngine()
    records = searched(
        tmp_path, f"study.space={space}", "adapter=lora", "+study.limits.parameters.trained=5e3", "study.n_trials=14",
        *PLAIN, engine=engine,
    )  # fmt: skip
    assert {trial.params["adapter.r"] for trial in engine.trained} == {2, 4}
    assert len(records) == 14 and sorted(asked) == sorted({int(str(record.params["adapter.r"])) for record in records})
    for record in records:
        assert record.measured == {"parameters.trained": 1000 * int(str(record.params["adapter.r"]))}
        assert record.command and record.total_steps
        if record.state == "infeasible":
            assert not failed(record).evals and failed(record).cost.steps == 0
    later = [record.state for record in records[7:]]
    assert later.count("infeasible") <= 3  # the sampler has learnt


def test_limits_on_metrics_and_costs_are_known_at_the_end(tmp_path: Path) -> None:
    limits = "study.limits={eval/loss: 0.1, cost.seconds: 0.5}"
    records = searched(tmp_path, limits, "study.n_trials=6", "study.sampler=random", *PLAIN)
    assert {record.state for record in records} == {"infeasible"}
    assert {name for record in records for name in failed(record).excess} == {"eval.loss", "cost.seconds"}
    assert all(failed(record).excess["cost.seconds"] == 1.0 for record in records)
    for record in records:
        assert record.measured["eval.loss"] == min(point.metrics["eval/loss"] for point in failed(record).evals)


def test_without_a_feasible_trial_the_smallest_excess_is_told(tmp_path: Path) -> None:
    options = ("study.limits={predict.latency_ms: 2}", *LATENCY[1:])
    with session(tmp_path, *options, engine=ToyEngine(measures=slow)) as opened:
        records = search(opened)  # more failures in a row than the study allows of other kinds
        with pytest.raises(
            UserError,
            match=r"no trial is feasible.*trial \d+: predict.latency_ms is 4, 100.0 % above its limit of 2",
        ):
            choose(opened, records)


def test_the_trial_that_is_closest_to_fitting_in_memory_is_named_with_its_message() -> None:
    records = [
        TrialRecord(number, {}, Failed(FailureReason.INFEASIBLE, f"adapter.r: is {number}", (), Cost(),
                                       excess={"out_of_memory": over}), "", 0, "", "")
        for number, over in enumerate((0.5, 0.2, 0.9))
    ]  # fmt: skip
    found = feasibility.closest(records, {})
    assert found is not None and found.path == ""
    assert found.message == "trial 1 is the closest to fitting in memory: adapter.r: is 1"
    assert feasibility.closest([], {}) is None


def test_a_pruned_trial_does_not_say_that_it_keeps_the_limit_of_a_growing_cost(tmp_path: Path) -> None:
    limits = {"cost.seconds": 10.0, "cost.flops": 10.0, "cost.peak_host_bytes": 10.0, "eval.loss": 1.0}
    measured = {"cost.seconds": 5.0, "cost.flops": 20.0, "cost.peak_host_bytes": 5.0, "eval.loss": math.nan}
    judge = feasibility.Feasibility(limits, plan(tmp_path).splits.labels)
    record = TrialRecord(0, {}, Pruned((), Cost()), "", 9, "", "", measured=measured)
    assert judge.constraints(record) == {"cost.flops": 1.0, "cost.peak_host_bytes": -0.5}


@pytest.mark.parametrize(("folds", "steps"), [(None, 25), (3, 75)])
def test_a_time_out_is_the_worse_the_fewer_steps_of_all_folds_were_taken(
    tmp_path: Path, folds: int | None, steps: int
) -> None:
    judge = feasibility.Feasibility({}, plan(tmp_path).splits.labels, folds)
    late = Failed(FailureReason.TIMED_OUT, "out of time", (), Cost(steps=steps))
    assert judge.constraints(TrialRecord(0, {}, late, "", 100, "", "")) == {"timed_out": 3.0}


def test_a_cost_that_is_not_known_is_not_measured(tmp_path: Path) -> None:
    """That of a trial that was lost has its seconds alone."""
    config = plan(tmp_path).config
    limits = {"cost.seconds": 10.0, "cost.peak_host_bytes": 10.0, "cost.peak_device_bytes": 10.0, "cost.flops": 10.0}
    judge = feasibility.Feasibility(limits, plan(tmp_path).splits.labels)
    assert judge.measured(config, Pruned((), Cost(seconds=5.0, steps=3))) == {"cost.seconds": 5.0}
    on_a_cpu = Cost(seconds=5.0, peak_host_bytes=7, flops=3.0)
    assert judge.measured(config, Pruned((), on_a_cpu)) == {
        "cost.seconds": 5.0, "cost.peak_host_bytes": 7, "cost.peak_device_bytes": 0, "cost.flops": 3.0
    }  # fmt: skip


def test_a_trial_that_was_recorded_before_a_kill_is_told_with_its_constraints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    options = (*LATENCY[:2], "study.n_trials=1", f"study.enqueue=[{{{RATE}: 4.0e-3}}]", *PLAIN)
    with monkeypatch.context() as dying, pytest.raises(KeyboardInterrupt):
        dying.setattr(OptunaStudy, "tell", killed)
        searched(tmp_path, *options, engine=ToyEngine(measures=slow))
    with session(tmp_path, *options, engine=ToyEngine(measures=slow)) as opened:
        (record,) = search(opened)
        (frozen,) = in_optuna(opened)
    assert record.state == "infeasible" and frozen.constraints == pytest.approx(failed(record).excess)
    next((tmp_path / "run" / "trials").glob("*/record.json")).unlink()
    (again,) = searched(tmp_path, *options, engine=ToyEngine(measures=slow))
    assert failed(again).reason is FailureReason.INFEASIBLE
    assert failed(again).excess == pytest.approx(failed(record).excess)
    assert again.used == record.used


def test_records_of_earlier_versions_have_no_measured_values(tmp_path: Path) -> None:
    (record,) = searched(tmp_path, "study.n_trials=1", *PLAIN)
    file = next((tmp_path / "run" / "trials").glob("*/record.json"))
    known = json.loads(file.read_text())
    del known["measured"], known["outcome"]["cost"]["measured"]
    file.write_text(json.dumps(known))
    (old,) = Store(tmp_path / "run").trials()
    assert old.measured == {} and old == record


@pytest.mark.parametrize(
    ("limits", "rule"),
    [
        (
            "{predict.latency: 5}",
            r"study.limits.predict.latency: is no limit \(did you mean predict.latency_ms\?\); study.limits has: parameters.trained"
            r".*\(from the command line\)",
        ),
        ("{test.accuracy: 0.5}", "study.limits.test.accuracy: is a limit on the test split"),
        ("{predict.latency_ms: 0}", r"study.limits.predict.latency_ms: is 0, but .*\(from the command line\)"),
    ],
)
def test_a_wrong_limit_is_refused_by_the_plan(tmp_path: Path, limits: str, rule: str) -> None:
    with pytest.raises(UserError, match=rule), session(tmp_path, f"study.limits={limits}"):
        pass
