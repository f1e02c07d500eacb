from __future__ import annotations

import pytest
from scipy.stats import binomtest, chi2

from sweep.analysis.comparison.significance import holm, mcnemar


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (8, 2), (2, 8), (12, 12), (0, 24)])
def test_few_discordant_rows_are_tested_exactly(first, second):
    found = mcnemar(first, second)
    wanted = binomtest(first, first + second).pvalue if first + second else 1.0
    assert found.exact
    assert found.p == pytest.approx(wanted)


@pytest.mark.parametrize(("first", "second"), [(25, 0), (15, 10), (121, 59), (13, 13)])
def test_many_are_tested_by_chi_square_with_the_continuity_correction(first, second):
    found = mcnemar(first, second)
    statistic = max(0, abs(first - second) - 1) ** 2 / (first + second)
    assert not found.exact
    assert found.p == pytest.approx(chi2.sf(statistic, df=1))


def test_a_worked_example():
    """121 against 59 discordant pairs: chi-square 20.67 with the correction."""
    assert mcnemar(121, 59).p == pytest.approx(5.45e-06, rel=1e-2)


def test_holm_steps_down():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))


def test_holm_of_one_changes_nothing_and_never_passes_one():
    assert holm([0.04]) == (0.04,)
    assert holm([0.9, 0.8]) == (1.0, 1.0)
    assert holm([]) == ()
