from __future__ import annotations

import pytest
from scipy.stats import binomtest, spearmanr

from sweep.analysis.inference import rank_correlation, wilson


@pytest.mark.parametrize(
    ("share", "rows", "low", "high"), [(0.5, 10, 0.2366, 0.7634), (1.0, 20, 0.8389, 1.0), (0.0, 20, 0.0, 0.1611)]
)
def test_wilson_agrees_with_published_values(share, rows, low, high):
    assert wilson(share, rows) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(("right", "rows"), [(0, 5), (5, 5), (1, 7), (129, 168), (2880, 3080)])
def test_wilson_is_scipys_where_that_has_it(right, rows):
    found = binomtest(right, rows).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson(right / rows, rows) == pytest.approx((found.low, found.high), abs=1e-12)


def test_wilson_of_nothing_is_everything():
    assert wilson(0.5, 0) == (0.0, 1.0)


@pytest.mark.parametrize("second", [[2, 1, 4, 3, 5], [1, 1, 2, 2, 9], [5, 4, 3, 2, 1]])
def test_rank_correlation_agrees_with_scipy(second):
    first = [10, 20, 30, 40, 50]
    found = rank_correlation(first, second)
    assert found is not None
    assert found[0] == pytest.approx(spearmanr(first, second).statistic)


def test_p_of_a_perfect_order_counts_its_orders():
    assert rank_correlation([1, 2, 3, 4, 5], [1, 2, 3, 4, 5]) == pytest.approx((1.0, 2 / 120))


def test_p_of_many_values_is_the_same_each_time():
    first, second = list(range(20)), [(7 * value) % 20 for value in range(20)]
    assert rank_correlation(first, second) == rank_correlation(first, second)


@pytest.mark.parametrize(("first", "second"), [([1, 2], [1, 2]), ([1, 1, 1], [1, 2, 3]), ([1, 2, 3], [0, 0, 0])])
def test_too_little_to_say(first, second):
    assert rank_correlation(first, second) is None
