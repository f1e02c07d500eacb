"""Metrics of predictions: `evaluate.Metric` classes over scikit-learn, which need no network and
write no files.

Names are those of `sweep.config.metrics` without their prefix. The loss is not among them: it is
of scores, not of predictions, and comes from `sweep.engine.evaluation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import datasets
import evaluate
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
    """Return every metric of the task but the loss, for predictions of a model or a baseline."""
    found: dict[str, float] = {}
    for metric in _metrics(task):
        found |= metric.compute(predictions=predictions, references=labels)
    return found


@cache
def _metrics(task: Task) -> tuple[evaluate.Metric, ...]:
    first = (Accuracy(task),) if task == "single_label" else (SubsetAccuracy(task), Jaccard(task))
    return (*first, PrecisionRecallF1(task))


class _InMemory(evaluate.Metric):  # type: ignore[misc]
    """A metric that writes nothing: `evaluate` makes a folder in the user's cache for each metric,
    even for one that stays in memory."""

    def __init__(self, task: Task) -> None:
        self.task = task
        super().__init__(keep_in_memory=True, seed=0)

    def _build_data_dir(self) -> str:
        return ""

    def _info(self) -> evaluate.MetricInfo:
        value: Any = datasets.Value("int64")
        column = value if self.task == "single_label" else datasets.Sequence(value)
        return evaluate.MetricInfo(
            description=str(self.__doc__),
            citation="",
            inputs_description="label numbers, or for multi-label a row of 0 and 1",
            features=datasets.Features({"predictions": column, "references": column}),
        )


class Accuracy(_InMemory):
    """The fraction of rows whose label was predicted."""

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return {"accuracy": float(accuracy_score(_array(references), _array(predictions)))}


class SubsetAccuracy(_InMemory):
    """The fraction of rows of which every label was predicted and no other."""

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return {"subset_accuracy": float(accuracy_score(_array(references), _array(predictions)))}


class Jaccard(_InMemory):
    """Labels both true and predicted over labels true or predicted, averaged over rows.

    A row without labels for which none was predicted is right, and counts as 1 (`zero_division`).
    """

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        truth, predicted = _array(references), _array(predictions)
        return {"jaccard": float(jaccard_score(truth, predicted, average="samples", zero_division=1.0))}


class PrecisionRecallF1(_InMemory):
    """Precision, recall and F1: macro (mean over labels), micro (over all decisions), weighted
    (mean by true rows).

    As in scikit-learn, a single-label macro mean is over the labels that occur in the truth or the
    predictions, a multi-label one over all; a label whose precision or recall is undefined counts
    as 0 (`zero_division`).
    """

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        truth, predicted = _array(references), _array(predictions)
        found: dict[str, float] = {}
        for average in AVERAGES:
            precision, recall, f1, _ = precision_recall_fscore_support(
                truth, predicted, average=average, zero_division=0.0
            )
            found |= {f"f1_{average}": float(f1), f"precision_{average}": float(precision)}
            found |= {f"recall_{average}": float(recall)}
        return found


def _array(column: Any) -> Labels:
    return np.asarray(column, dtype=np.int64)
