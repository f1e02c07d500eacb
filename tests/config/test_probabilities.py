from __future__ import annotations

import math

import numpy as np
import pytest

from sweep.config.probabilities import calibration_bins, calibration_error

CONFIDENCE = np.array([0.55, 0.65, 0.95, 1.0])
RIGHT = np.array([True, False, True, True])


def test_the_error_is_the_difference_of_confidence_and_accuracy_weighted_by_rows() -> None:
    found = calibration_bins(CONFIDENCE, RIGHT, bins=10)
    assert found.low.tolist() == [0.5, 0.6, 0.9] and found.rows.tolist() == [1, 1, 2]
    assert found.confidence == pytest.approx([0.55, 0.65, 0.975])
    assert found.accuracy.tolist() == [1.0, 0.0, 1.0]
    assert found.error == pytest.approx((0.45 + 0.65 + 2 * 0.025) / 4)
    assert calibration_error(CONFIDENCE, RIGHT, bins=10) == found.error


def test_a_confidence_at_the_upper_end_of_a_bin_belongs_to_it_and_zero_to_the_first() -> None:
    found = calibration_bins(np.array([0.0, 0.5, 1.0]), np.array([False, True, True]), bins=2)
    assert found.low.tolist() == [0.0, 0.5] and found.rows.tolist() == [2, 1]


def test_sure_and_right_decisions_have_no_error_and_no_rows_have_none_defined() -> None:
    assert calibration_error(np.ones(3), np.ones(3, dtype=bool)) == 0.0
    assert math.isnan(calibration_error(np.array([]), np.array([], dtype=bool)))
