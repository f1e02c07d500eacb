"""The folds of a trial in the numbers of a report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from report.conftest import LR, cost, folded, part, trial
from sweep.analysis.cost import Pruning, spending
from sweep.analysis.facts import read
from sweep.analysis.folds import first_fold, spread
from sweep.analysis.trials import trials
from sweep.config.metrics import fold_metric, means_alone, sd_metric
from sweep.records.store import Store
from sweep.records.trial import Completed, EvalPoint, Pruned

METRICS = {
    "eval/accuracy": 0.6, "eval/loss": 1.0, "eval/fold/1/accuracy": 0.5, "eval/fold/2/accuracy": 0.7, "eval/sd/accuracy": 0.14,
}  # fmt: skip


def test_names_tell_the_split_the_fold_and_the_metric() -> None:
    assert fold_metric("eval/accuracy", 2) == "eval/fold/2/accuracy"
    assert sd_metric("eval/f1/a/b") == "eval/sd/f1/a/b"


def test_means_leave_out_folds_and_their_spread() -> None:
    assert means_alone(METRICS) == {"eval/accuracy": 0.6, "eval/loss": 1.0}


def test_the_retraining_stands_beside_the_first_fold() -> None:
    (point,) = first_fold([EvalPoint(1, 5, 1.0, METRICS)], "eval/accuracy")
    assert (point.eval.epoch, point.eval.metrics) == (1.0, {"eval/accuracy": 0.5})


@pytest.mark.parametrize(("metrics", "sd"), [(METRICS, 0.14), ({"eval/accuracy": 0.6}, None)])
def test_a_trial_without_folds_has_no_spread(metrics: dict[str, float], sd: float | None) -> None:
    assert spread(metrics, "eval/accuracy") == sd


def test_steps_of_all_folds_are_compared_with_those_of_all_folds(make: Callable[..., Store]) -> None:
    """Trials of 180 steps in the first of three folds: one completed, with two steps more in each
    other fold, and one was pruned after a sixth of its steps."""
    point = EvalPoint(1, 180, 3.0, {**METRICS, "eval/fold/3/accuracy": 0.6})
    whole = replace(trial(0, {LR: 1e-3}, Completed(point, (point,), cost(36.0, 544))), total_steps=180)
    pruned = replace(trial(1, {LR: 1e-4}, Pruned((), cost(6.0, 90))), total_steps=180)
    facts = folded(read(make((whole, pruned))), 3)
    found = spending(facts)
    assert found is not None and found.pruning == Pruning(1, 90, 540) and found.pruning.saved == 450
    assert "after 90 of 540 steps: it saved 450 steps, 83.3 % of theirs" in part("cost", facts)
    assert [(row.ending.steps, row.ending.total_steps) for row in trials(facts).rows] == [(180, 180), (30, 180)]
