from __future__ import annotations

import math

import pytest

from sweep.analysis.comparison.columns import Better, Column, known


@pytest.mark.parametrize(
    ("values", "better", "best"),
    [
        ([1.0, 3.0, None], "higher", 3.0),
        ([1.0, 3.0, None], "lower", 1.0),
        ([1.0, math.nan, 2.0], "higher", 2.0),
        ([1.0, 3.0], "", None),
        ([2.0, 2.0], "higher", None),
        ([2.0, None], "lower", None),
    ],
)
def test_the_best_of_a_column(values: list[float | None], better: Better, best: float | None) -> None:
    assert Column("x", values, better).best == best


def test_a_column_without_any_value_is_left_out_and_baselines_count() -> None:
    empty, beside = Column("a", [None, None]), Column("b", [None, None], beside=[0.5])
    assert known([empty, beside]) == (beside,)
    assert Column("c", [0.1, 0.2], "higher", beside=[0.9]).best == 0.2
