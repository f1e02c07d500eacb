"""Extra metrics and a second objective: the same in each engine."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from support.packs import CLOSE, one_by_one, packed
from sweep.config.objective import Objective
from sweep.data.tokenise import TokenisedData
from sweep.engine.second_objective import undefined
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.trial import Completed, EvalPoint, TrialPlan

METRICS = ("mcc", "ece", "auroc_macro", "log_loss", "f1/fees")
SHORT = {"num_train_epochs": 1, "save_best": False, "save_newest": False}


def evaluations(run: Any) -> list[EvalPoint]:
    assert isinstance(run.outcome(0), Completed), run.outcome(0)
    return [event for event in run.events(0) if isinstance(event, EvalPoint)]


def test_engines_give_the_same_extra_metrics_and_measure_the_second_objective(
    trial: Callable[..., TrialPlan], data: TokenisedData, base_models: BaseModelCache
) -> None:
    study = {"metric": "eval/f1/other", "second_metric": "predict/latency_ms"}
    plan = trial(trainer=SHORT, dataset={"metrics": METRICS}, study=study)
    runs = [loop(plan, data=data, base_models=base_models) for loop in (one_by_one, packed)]
    for first, second in zip(*map(evaluations, runs), strict=True):
        assert list(first.metrics)[-6:] == [f"eval/{name}" for name in (*METRICS, "f1/other")]
        assert first.metrics == pytest.approx(second.metrics, abs=CLOSE)
        assert first.metrics["eval/log_loss"] == pytest.approx(first.metrics["eval/loss"], abs=CLOSE)
        assert first.measured["predict/latency_ms"] > 0 < second.measured["predict/latency_ms"]
    assert [run.outcome(0).cost.engine for run in runs] == ["trainer", "packed"]
    assert all(run.outcome(0).cost.value("predict/latency_ms") > 0 for run in runs)


def test_a_head_on_cached_features_reports_its_seconds(
    trial: Callable[..., TrialPlan], data: TokenisedData, base_models: BaseModelCache
) -> None:
    study = {"metric": "eval/auroc_micro", "second_metric": "cost/seconds"}
    plan = trial(trainer=SHORT, adapter={"method": "head"}, study=study)
    run = one_by_one(plan, data=data, base_models=base_models)
    seconds = [point.measured["cost/seconds"] for point in evaluations(run)]
    assert run.outcome(0).cost.engine == "frozen" and seconds == sorted(seconds)
    assert 0 < seconds[-1] <= run.outcome(0).cost.value("cost/seconds")


def test_a_metric_that_is_nowhere_defined_is_named() -> None:
    second = Objective("eval/auroc_macro", maximize=True)
    both = Objective("eval/accuracy", maximize=True, second=second)
    assert undefined(both, {"eval/accuracy": 0.5, "eval/auroc_macro": 0.5}) == ""
    assert "eval/auroc_macro is no finite number in the best" in undefined(
        both, {"eval/accuracy": 0.5, "eval/auroc_macro": math.nan}
    )
    assert "eval/accuracy is no finite number in any" in undefined(both, {"eval/accuracy": math.nan})
    timed = Objective("eval/accuracy", maximize=True, second=Objective("cost/seconds", maximize=False))
    assert undefined(timed, {"eval/accuracy": 0.5}) == ""
