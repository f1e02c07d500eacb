"""The error of a score."""

from __future__ import annotations

import math

import pytest

from sweep.search.score_error import standard_error


def test_a_perfect_score_has_an_error_too() -> None:
    """The error of 66 of 68 right rows is sqrt(66/68 * 2/68 / 68)."""
    assert standard_error(1.0, 64) == pytest.approx(0.020489, abs=1e-6)
    assert standard_error(0.0, 64) == pytest.approx(standard_error(1.0, 64))
    assert standard_error(0.8, 100_000) == pytest.approx(math.sqrt(0.8 * 0.2 / 100_000), rel=1e-4)
    assert math.isnan(standard_error(0.5, 0))
