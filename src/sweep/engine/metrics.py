"""Decisions from scores, and the metrics of decisions, by scikit-learn.

Names are those of `sweep.config.metrics` without their prefix. The loss is not among them: it is
computed from scores, in `sweep.engine.evaluation`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, softmax
from sklearn.metrics import accuracy_score, jaccard_score, precision_recall_fscore_support

from sweep.config.schema import Task

Scores = NDArray[np.float32]  # (rows, labels): logits
Labels = NDArray[np.int64]  # (rows,) label numbers, or (rows, labels) of 0 and 1 for multi-label
Probabilities = NDArray[np.float64]  # (rows, labels)

AVERAGES = ("macro", "micro", "weighted")


def decide(task: Task, scores: Scores, thresholds: float | Sequence[float] = 0.5) -> Labels:
    """Return the predictions: the highest score, or for multi-label every label whose sigmoid
    reaches its threshold."""
    if task == "single_label":
        return np.asarray(scores.argmax(axis=1), dtype=np.int64)
    return np.asarray(scores >= logit(thresholds), dtype=np.int64)


def probabilities(task: Task, scores: Scores) -> Probabilities:
    """Return the softmax over labels, or for multi-label the sigmoid of each label."""
    wide = scores.astype(np.float64)
    return np.asarray(softmax(wide, axis=1) if task == "single_label" else expit(wide))


def certainty(task: Task, chances: Probabilities, decided: Labels) -> Probabilities:
    """Return the probability of each row's decision, (rows,): of the predicted label, or for
    multi-label of the least certain of its decisions."""
    if task == "single_label":
        return np.asarray(chances.max(axis=1))
    return np.asarray(np.where(decided == 1, chances, 1 - chances).min(axis=1))


def score(task: Task, predictions: Labels, labels: Labels) -> dict[str, float]:
    """Return every metric of the task but the loss. The predictions need not come from a model.

    Accuracy counts a row whose labels are all right. Jaccard is the mean over rows of labels
    shared over labels named; a row without labels for which none was predicted counts as 1.
    Precision, recall and F1 are averaged in three ways: macro over labels, micro over all
    decisions, weighted over labels by their true rows. As in scikit-learn, a single-label macro
    mean is over the labels that occur in the truth or the predictions, a multi-label one over all;
    an undefined value counts as 0.
    """
    exact = float(accuracy_score(labels, predictions))
    if task == "single_label":
        found = {"accuracy": exact}
    else:
        overlap = jaccard_score(labels, predictions, average="samples", zero_division=1.0)
        found = {"subset_accuracy": exact, "jaccard": float(overlap)}
    for average in AVERAGES:
        precision, recall, f1, _ = precision_recall_fscore_support(
            labels, predictions, average=average, zero_division=0.0
        )
        found |= {f"f1_{average}": float(f1), f"precision_{average}": float(precision)}
        found |= {f"recall_{average}": float(recall)}
    return found
