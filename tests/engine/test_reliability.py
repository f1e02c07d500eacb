from __future__ import annotations

import numpy as np
import pytest

from sweep.engine.reliability import reliability


def test_the_likeliest_label_is_weighed_against_being_right() -> None:
    scores = np.log(np.array([[0.9, 0.1], [0.9, 0.1], [0.3, 0.7], [0.2, 0.8]], dtype=np.float32))
    found = reliability("single_label", scores, np.array([0, 1, 1, 1]))
    by_hand = {(one.count, round(one.probability, 3), one.share) for one in found.bins}
    assert by_hand == {(2, 0.9, 0.5), (1, 0.7, 1.0), (1, 0.8, 1.0)}
    assert found.ece == pytest.approx((2 * 0.4 + 0.3 + 0.2) / 4, abs=1e-6)
    assert found.loss == pytest.approx(-np.log([0.9, 0.1, 0.7, 0.8]).mean(), rel=1e-6)


def test_each_label_of_several_is_weighed_against_applying() -> None:
    scores = np.array([[0.0, -20.0], [0.0, 20.0]], dtype=np.float32)
    found = reliability("multi_label", scores, np.array([[1, 0], [0, 1]]))
    assert [(one.count, one.share) for one in found.bins] == [(1, 0.0), (2, 0.5), (1, 1.0)]
    assert found.ece == pytest.approx(0, abs=1e-6)
