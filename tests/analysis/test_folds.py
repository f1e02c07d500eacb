"""The folds of a trial in the numbers of a report."""

from __future__ import annotations

import pytest

from sweep.analysis.folds import first_fold, spread
from sweep.config.metrics import fold_metric, means_alone, sd_metric
from sweep.records.trial import EvalPoint

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
