from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sweep.data.labels import LabelSpace
from sweep.errors import UserError
from sweep.export.comparison import Change, compare, require

SINGLE, MULTI = (LabelSpace(task, ("fee", "card")) for task in ("single_label", "multi_label"))


def compared(study: Any, export: Any, labels: LabelSpace = SINGLE, **changes: Any) -> Any:
    values = {"thresholds": None, "indices": (3, 8), "precision": "float32", "tolerance": None, **changes}
    one, other = (np.asarray(scores, dtype=np.float32) for scores in (study, export))
    return compare(one, other, labels=labels, **values)


def test_the_largest_difference_has_its_row() -> None:
    found = compared([[1, 2], [0, 20]], [[1.5, 2], [0, 19]])
    assert (found.difference, found.row, found.changed, found.held) == (1.0, 8, (), False)
    assert found.tolerance == pytest.approx(1e-4 * 20)


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("float16", 1e-2), ("bfloat16", 5e-2)])
def test_what_is_tolerated_depends_on_the_precision(precision: str, tolerance: float) -> None:
    found = compared([[0, 0.5], [0, 0]], [[0, 0.5], [0, tolerance / 2]], precision=precision)
    assert found.tolerance == pytest.approx(tolerance) and found.held
    require(found, others="that of the study", given=False)


def test_a_changed_decision_is_named_by_its_row() -> None:
    assert compared([[0, 1], [0, 1]], [[0, 1], [1, 0]], tolerance=5).changed == (Change(8, "card", "fee"),)


def test_decisions_of_several_labels_go_by_their_thresholds() -> None:
    found = compared([[0, 0], [1, 1]], [[0, 0], [1, -1]], MULTI, thresholds=(0.5, 0.5), tolerance=5)
    assert found.changed == (Change(8, "fee|card", "fee"),)
    assert not compared([[0, 0], [1, 1]], [[0, 0], [1, -1]], MULTI, thresholds=(0.5, 0.1), tolerance=5).changed


def test_a_score_that_is_no_number_is_never_tolerated() -> None:
    found = compared([[0, 0], [1, 1]], [[0, float("nan")], [1, 1]], tolerance=1e9)
    assert not found.held and found.row == 3


def test_a_difference_beyond_the_tolerance_is_refused() -> None:
    found = compared([[0, 1], [0, 1]], [[0, 1], [1, 0]], tolerance=0.25)
    said = "is 0.25, but a logit differs from that of the study by 1, on row 8 of validation, and 1 decision changed"
    with pytest.raises(UserError, match=said):
        require(found, others="that of the study", given=True)
    with pytest.raises(UserError, match="which is 0.0001 of the largest logit"):
        require(compared([[0, 1], [0, 1]], [[0, 1], [1, 0]]), others="that of the study", given=False)
