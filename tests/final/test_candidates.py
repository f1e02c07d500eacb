from __future__ import annotations

import pytest

from sweep.final.candidates import interval


def test_the_interval_is_student_s() -> None:
    """Mean 0.8, standard error 0.1/√3, and t(0.975; 2) = 4.3027 from a table."""
    low, high = interval((0.7, 0.8, 0.9)) or (0.0, 0.0)
    assert (low, high) == (pytest.approx(0.8 - 4.3027 * 0.057735, abs=1e-5), pytest.approx(0.8 + 0.248417, abs=1e-4))


def test_one_score_has_no_interval() -> None:
    assert interval((0.7,)) is None
    assert interval(()) is None
