from __future__ import annotations

from sweep.records.same_evals import same_evals
from sweep.records.trial import EvalPoint


def point(accuracy: float, auroc: float, index: int = 1) -> EvalPoint:
    return EvalPoint(index, 4, 1.0, {"eval/accuracy": accuracy, "eval/auroc_macro": auroc})


def test_a_metric_that_is_not_defined_is_the_same_as_before() -> None:
    some, others = ([point(0.5, float("nan"))] for _ in range(2))
    assert some != others and same_evals(some, tuple(others))
    assert not same_evals(some, [point(0.6, float("nan"))])
    assert not same_evals(some, [point(0.5, 0.5)])
    assert not same_evals(some, [*some, point(0.5, float("nan"), 2)])
