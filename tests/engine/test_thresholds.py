from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import f1_score

from sweep.config.schema import TrainerConfig
from sweep.engine.evaluation import Predictions, measure
from sweep.engine.metrics import decide
from sweep.engine.thresholds import tuned


def rows(*columns: list[tuple[float, int]]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits and labels, (rows, labels), from a list of both for each label."""
    scores = np.array([[score for score, _ in column] for column in columns], dtype=np.float32).T
    return scores, np.array([[label for _, label in column] for column in columns], dtype=np.int64).T


def f1(column: NDArray[np.float32], truth: NDArray[np.int64], threshold: float) -> float:
    return float(f1_score(truth, expit(column.astype(np.float64)) >= threshold, zero_division=0.0))


@pytest.mark.parametrize("seed", range(6))
def test_no_threshold_has_a_higher_f1(seed: int) -> None:
    draw = np.random.default_rng(seed)
    labels = (draw.random((30, 4)) < [0.05, 0.2, 0.5, 0.9]).astype(np.int64)
    scores = np.round(draw.normal(labels - 1.0, 1.5), 1).astype(np.float32)  # rounded, so that there are equal ones
    found = tuned(scores, labels)
    for index, threshold in enumerate(found):
        column, truth = scores[:, index], labels[:, index]
        chances = np.unique(expit(column.astype(np.float64)))
        halfway = (chances[1:] + chances[:-1]) / 2
        candidates = [0.5, *halfway, chances[0] / 2]
        best = max(f1(column, truth, candidate) for candidate in candidates)
        if truth.any():
            assert f1(column, truth, threshold) == best
            nearest = min(abs(one - 0.5) for one in candidates if f1(column, truth, one) == best)
            assert abs(threshold - 0.5) == pytest.approx(nearest)
        else:
            assert threshold == 0.5


def test_a_label_that_is_right_at_one_half_stays_there() -> None:
    assert tuned(*rows([(2, 1), (1, 1), (-3, 0)])) == (0.5,)


def test_a_label_without_a_positive_row_stays_at_one_half() -> None:
    assert tuned(*rows([(-4, 0), (3, 0)], [(-4, 1), (-5, 0)])) == (0.5, pytest.approx((expit(-4) + expit(-5)) / 2))


def test_equal_scores_are_not_parted() -> None:
    scores, labels = rows([(-2, 1), (-2, 0), (-2, 0), (-4, 0)])
    (threshold,) = tuned(scores, labels)
    assert threshold == pytest.approx((expit(-2) + expit(-4)) / 2)


def test_scores_that_rounding_sets_apart_are_not_parted() -> None:
    (threshold,) = tuned(*rows([(-2, 1), (-2 - 1e-6, 0), (-2 + 1e-6, 0), (-4, 0)]))
    assert threshold == pytest.approx((expit(-2) + expit(-4)) / 2, abs=1e-6)


@pytest.mark.parametrize("lowest", [-18.0, -900.0])
def test_a_label_that_is_improbable_in_every_row_applies_to_all(lowest: float) -> None:
    (threshold,) = tuned(*rows([(-15.0, 1), (-16.0, 0), (lowest, 1)]))
    assert 0 <= threshold <= expit(lowest)


def test_each_label_is_decided_by_its_own_threshold() -> None:
    scores = np.array([[-1.0, 1.0], [1.0, 3.0]], dtype=np.float32)
    assert decide("multi_label", scores, (0.2, 0.9)).tolist() == [[1, 0], [1, 1]]
    assert decide("multi_label", scores, 0.5).tolist() == [[0, 1], [1, 1]]
    assert decide("multi_label", np.zeros((1, 2), dtype=np.float32)).tolist() == [[1, 1]]


def test_metrics_are_those_of_the_decisions() -> None:
    scores, labels = rows([(-1, 1), (-2, 0)], [(2, 1), (1, 0)])
    predictions = Predictions(scores, labels, loss=0.5, seconds=0.0)
    assert measure("multi_label", predictions, "eval", own=()).values["eval/subset_accuracy"] == 0.0
    tuned_to = tuned(scores, labels)
    assert measure("multi_label", predictions, "eval", tuned_to, own=()).values["eval/subset_accuracy"] == 1.0


def test_the_search_decides_by_the_fixed_threshold_and_never_tunes() -> None:
    assert TrainerConfig(decision_threshold=0.3).search_threshold == 0.3
    assert TrainerConfig(decision_threshold="tuned").search_threshold == 0.5
