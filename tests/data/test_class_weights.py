from __future__ import annotations

import math

import pytest

from sweep.data.class_weights import class_weights, log_priors


def test_alike_labels_have_no_weights() -> None:
    assert class_weights("single_label", "none", (3, 1), 4) is None


def test_balanced_weights_are_rows_over_labels_and_count() -> None:
    assert class_weights("single_label", "balanced", (6, 2), 8) == pytest.approx((8 / 12, 8 / 4))


def test_the_mean_weight_of_the_rows_is_one() -> None:
    found = class_weights("single_label", (1.0, 5.0), (6, 2), 8)
    assert found is not None and found[1] / found[0] == pytest.approx(5)
    assert 6 * found[0] + 2 * found[1] == pytest.approx(8)


def test_several_labels_weigh_rows_with_against_rows_without() -> None:
    assert class_weights("multi_label", "balanced", (6, 2), 8) == (2 / 6, 3.0)
    assert class_weights("multi_label", (1.0, 5.0), (6, 2), 8) == (1.0, 5.0)


def test_priors_are_shares_or_odds() -> None:
    assert log_priors("single_label", (6, 2), 8) == pytest.approx((math.log(0.75), math.log(0.25)))
    assert log_priors("multi_label", (6, 2), 8) == pytest.approx((math.log(3), math.log(1 / 3)))
