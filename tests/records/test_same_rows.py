from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sweep.records.row_log import RowLog
from sweep.records.same_rows import same_row, same_rows
from sweep.records.trial import EvalPoint, Step

NAN = float("nan")


def point(accuracy: float, auroc: float, index: int = 1) -> EvalPoint:
    return EvalPoint(index, 4, 1.0, {"eval/accuracy": accuracy, "eval/auroc_macro": auroc})


def test_a_metric_that_is_not_defined_is_the_same_as_before() -> None:
    some, others = ([point(0.5, float("nan"))] for _ in range(2))
    assert some != others and same_rows(some, tuple(others))
    assert not same_rows(some, [point(0.6, NAN)])
    assert not same_rows(some, [point(0.5, 0.5)])
    assert not same_rows(some, [*some, point(0.5, NAN, 2)])


def test_the_order_of_metrics_and_the_seconds_do_not_count() -> None:
    one = point(0.5, NAN)
    assert same_row(
        one, replace(one, metrics=dict(reversed(list(one.metrics.items()))), measured={"cost/seconds": 3.0})
    )
    step = Step(4, 8, 0.5, {"train/loss": NAN}, seconds=1.0)
    assert same_row(step, replace(step, metrics={"train/loss": float("nan")}, seconds=2.0))
    assert not same_row(step, replace(step, epoch=0.6)) and not same_row(step, point(0.5, NAN))


def test_a_row_that_comes_again_in_another_order_is_not_written_again(tmp_path: Path) -> None:
    log, one = RowLog.of(tmp_path), point(0.5, NAN)
    assert log.add(one)
    again = replace(one, metrics=dict(reversed(list(one.metrics.items()))))
    assert not RowLog.of(tmp_path).differs(again) and not RowLog.of(tmp_path).add(again)
