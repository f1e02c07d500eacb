from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, jaccard_score, precision_recall_fscore_support

from sweep.analysis.comparison.bootstrap import resample
from sweep.analysis.comparison.outcomes import Outcomes, read_outcomes
from sweep.analysis.predictions import Prediction
from sweep.config.metrics import BY_TASK


def drawn(task: str) -> Outcomes:
    """Five labels, of which the last never occurs in the truth, nor anywhere in the single-label
    case."""
    generator = np.random.default_rng(7)
    if task == "single_label":
        truth = np.eye(5, dtype=bool)[generator.integers(0, 4, 90)]
        return Outcomes(task, truth, {"m": np.where(generator.random((90, 1)) < 0.6, truth, np.roll(truth, 1, axis=0))})
    truth = generator.random((90, 5)) < [0.5, 0.4, 0.2, 0.1, 0.0]
    return Outcomes(task, truth, {"m": truth ^ (generator.random((90, 5)) < 0.15)})


def by_scikit_learn(task: str, truth: np.ndarray, predicted: np.ndarray, name: str) -> float:
    if task == "single_label":
        truth, predicted = truth.argmax(axis=1), predicted.argmax(axis=1)
    if name in ("accuracy", "subset_accuracy"):
        return accuracy_score(truth, predicted)
    if name == "jaccard":
        return jaccard_score(truth, predicted, average="samples", zero_division=1.0)
    kind, _, average = name.partition("_")
    scores = precision_recall_fscore_support(truth, predicted, average=average, zero_division=0.0)
    return scores[("precision", "recall", "f1").index(kind)]


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_every_metric_is_the_one_of_scikit_learn(task):
    outcomes = drawn(task)
    names = [name for name in BY_TASK[task] if name != "loss"]
    seen = resample(outcomes, names, samples=2, seed=0).seen["m"]
    wanted = {name: by_scikit_learn(task, outcomes.truth, outcomes.predicted["m"], name) for name in names}
    assert seen == pytest.approx(wanted)


def test_predictions_become_marks():
    rows = [Prediction("0", "x", None, ("a", "b"), ("b",), 0.9), Prediction("1", "y", None, (), (), 0.9)]
    outcomes = read_outcomes("multi_label", ("a", "b"), {"m": rows})
    assert outcomes.truth.tolist() == [[True, True], [False, False]]
    assert outcomes.right("m").tolist() == [False, True]
