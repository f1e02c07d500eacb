from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sweep.config.metrics import BY_TASK
from sweep.config.schema import Task
from sweep.engine import metrics

# Five rows over three labels. True: 0 0 1 1 2. Predicted: 0 1 1 1 0. By label:
#   0: precision 1/2, recall 1/2, F1 1/2;  1: precision 2/3, recall 1, F1 4/5;  2: never predicted, all 0.
ONE_LABEL = np.array([[2, 1, 0], [0, 1, 0], [0, 3, 1], [-1, 0, -2], [5, 1, 4]], dtype=np.float32)
TRUE_LABEL = np.array([0, 0, 1, 1, 2])
EXPECTED_ONE = {
    "accuracy": 3 / 5,
    "f1_macro": (1 / 2 + 4 / 5) / 3,
    "f1_micro": 3 / 5,
    "f1_weighted": (2 * 1 / 2 + 2 * 4 / 5) / 5,
    "precision_macro": (1 / 2 + 2 / 3) / 3,
    "precision_micro": 3 / 5,
    "precision_weighted": (2 * 1 / 2 + 2 * 2 / 3) / 5,
    "recall_macro": (1 / 2 + 1) / 3,
    "recall_micro": 3 / 5,
    "recall_weighted": 3 / 5,
}

# Four rows over three labels: two true positives of label 0, one of label 1, one false negative of 1, one false
# positive of 2. The last row has no label and gets none.
SEVERAL = np.array([[1, 1, -1], [1, -1, -1], [-1, -2, 2], [-1, -1, -1]], dtype=np.float32)
TRUE_SEVERAL = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]])
EXPECTED_SEVERAL = {
    "subset_accuracy": 3 / 4,
    "jaccard": (1 + 1 + 0 + 1) / 4,
    "f1_macro": (1 + 2 / 3 + 0) / 3,
    "f1_micro": 2 * 3 / (2 * 3 + 1 + 1),
    "f1_weighted": (2 * 1 + 2 * 2 / 3) / 4,
    "precision_macro": (1 + 1 + 0) / 3,
    "precision_micro": 3 / 4,
    "precision_weighted": 1.0,
    "recall_macro": (1 + 1 / 2 + 0) / 3,
    "recall_micro": 3 / 4,
    "recall_weighted": 3 / 4,
}


@pytest.mark.parametrize(
    ("task", "scores", "labels", "expected"),
    [("single_label", ONE_LABEL, TRUE_LABEL, EXPECTED_ONE), ("multi_label", SEVERAL, TRUE_SEVERAL, EXPECTED_SEVERAL)],
)
def test_every_metric_equals_its_value_by_hand(
    task: Task, scores: NDArray[np.float32], labels: NDArray[np.int64], expected: dict[str, float]
) -> None:
    assert metrics.score(task, metrics.decide(task, scores), labels) == pytest.approx(expected)
    assert {"loss", *expected} == set(BY_TASK[task])


def test_a_score_of_zero_is_a_probability_of_one_half_and_predicts_the_label() -> None:
    scores = np.array([[0.0, -1e-6, 1e-6]], dtype=np.float32)
    assert metrics.decide("multi_label", scores).tolist() == [[1, 0, 1]]


def test_predictions_that_no_model_made_are_scored_alike() -> None:
    majority = np.zeros_like(TRUE_LABEL)
    assert metrics.score("single_label", majority, TRUE_LABEL)["accuracy"] == pytest.approx(2 / 5)


def test_probabilities_are_the_softmax_or_the_sigmoids() -> None:
    scores = np.array([[0.0, np.log(3.0)]], dtype=np.float32)
    assert metrics.probabilities("single_label", scores)[0] == pytest.approx([1 / 4, 3 / 4])
    assert metrics.probabilities("multi_label", scores)[0] == pytest.approx([1 / 2, 3 / 4])


def test_no_random_state_is_disturbed() -> None:
    np.random.seed(3)
    expected = np.random.random(2)
    np.random.seed(3)
    first = np.random.random()
    metrics.score("single_label", metrics.decide("single_label", ONE_LABEL), TRUE_LABEL)
    assert [first, np.random.random()] == expected.tolist()
