"""Metrics of predictions, computed by scikit-learn.

Names are those of `sweep.config.metrics` without their prefix. The loss is not among them: it is of
scores, not of predictions, and comes from `sweep.engine.evaluation`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit
from sklearn.metrics import accuracy_score, jaccard_score, precision_recall_fscore_support

from sweep.config.schema import Task

Scores = NDArray[np.float32]  # (rows, labels): logits
Labels = NDArray[np.int64]  # (rows,) label numbers, or (rows, labels) of 0 and 1 for multi-label

AVERAGES = ("macro", "micro", "weighted")


def decide(task: Task, scores: Scores, thresholds: float | Sequence[float] = 0.5) -> Labels:
    """Return the predicted labels: the highest score, or, for multi-label, every label whose
    sigmoid reaches its threshold."""
    if task == "single_label":
        return np.asarray(scores.argmax(axis=1), dtype=np.int64)
    return np.asarray(scores >= logit(thresholds), dtype=np.int64)


def score(task: Task, predictions: Labels, labels: Labels) -> dict[str, float]:
    """Return every metric of the task but the loss, for predictions of a model or a baseline.

    `accuracy` is the fraction of rows whose label was predicted, `subset_accuracy` that of the rows
    of which every label was predicted and no other. `jaccard` is labels both true and predicted
    over labels true or predicted, averaged over rows; a row without labels for which none was
    predicted is right, and counts as 1 (`zero_division`).
    """
    predictions, labels = np.asarray(predictions, dtype=np.int64), np.asarray(labels, dtype=np.int64)
    if task == "single_label":
        found = {"accuracy": float(accuracy_score(labels, predictions))}
    else:
        jaccard = jaccard_score(labels, predictions, average="samples", zero_division=1.0)
        found = {"subset_accuracy": float(accuracy_score(labels, predictions)), "jaccard": float(jaccard)}
    return {**found, **_precision_recall_f1(predictions, labels)}


def _precision_recall_f1(predictions: Labels, labels: Labels) -> dict[str, float]:
    """Return precision, recall and F1: macro (mean over labels), micro (over all decisions),
    weighted (mean by true rows).

    As in scikit-learn, a single-label macro mean is over the labels that occur in the truth or the
    predictions, a multi-label one over all; a label whose precision or recall is undefined counts
    as 0 (`zero_division`).
    """
    found: dict[str, float] = {}
    for average in AVERAGES:
        precision, recall, f1, _ = precision_recall_fscore_support(
            labels, predictions, average=average, zero_division=0.0
        )
        found |= {f"f1_{average}": float(f1), f"precision_{average}": float(precision)}
        found |= {f"recall_{average}": float(recall)}
    return found
