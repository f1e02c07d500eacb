"""The metrics of an evaluation, some of the user's own among them."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from support import own_metrics
from sweep.engine.evaluation import Measured, Predictions, measure


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with own_metrics.module(tmp_path, monkeypatch):
        yield


def calls() -> dict[str, int]:
    return dict(sys.modules["sometimes"].calls)


def test_the_metric_that_fails_is_left_out_alone_and_each_is_computed_once() -> None:
    found = Predictions(np.eye(2, dtype=np.float32), np.zeros(2, dtype=np.int64), loss=0.5, seconds=0.0)
    own = ("sometimes.several", "auroc_macro", "sometimes.huge", "sometimes.rows")
    measured = measure("single_label", found, "test", own=own)
    assert list(measured.values)[-4:] == ["test/several", "test/auroc_macro", "test/huge", "test/rows"]
    assert math.isnan(measured.values["test/several"]) and math.isnan(measured.values["test/huge"])
    assert list(measured.computed)[-3:] == ["test/recall_weighted", "test/auroc_macro", "test/rows"]
    several, huge = measured.failed["test/several"], measured.failed["test/huge"]
    assert several.startswith("dataset.metrics: is sometimes.several, which when it was computed raised ValueError")
    assert "only one label (sometimes.py, line " in several and "raised OverflowError" in huge
    assert calls() == {"several": 1, "rows": 1}


@pytest.mark.parametrize(("thresholds", "fails"), [(0.5, False), ((0.9, 0.2), False), ((0.1, 0.2), True)])
def test_a_metric_of_decisions_fails_where_these_thresholds_make_it_fail(
    thresholds: float | tuple[float, ...], fails: bool
) -> None:
    scores = np.array([[-1.0, -1.0], [-1.0, -2.0]], dtype=np.float32)
    found = Predictions(scores, np.eye(2, dtype=np.int64), loss=0.5, seconds=0.0)
    measured = measure("multi_label", found, "test", thresholds, own=("sometimes.Few", "sometimes.rows"))
    assert measured.computed["test/rows"] == 2
    assert ("test/Few" in measured.failed) is fails and ("test/Few" in measured.computed) is not fails
    assert calls() == {"Few": 1, "rows": 1}


def test_without_metrics_of_ones_own_nothing_fails() -> None:
    found = Predictions(np.eye(2, dtype=np.float32), np.arange(2), loss=0.5, seconds=0.0)
    measured = measure("single_label", found, "eval", own=())
    assert measured == Measured(measured.computed)
