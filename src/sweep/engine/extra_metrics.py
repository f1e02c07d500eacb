"""The extra metrics of `sweep.config.extra_metrics`, by scikit-learn where it has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    log_loss,
    matthews_corrcoef,
    recall_score,
    roc_auc_score,
)

from sweep.config.extra_metrics import OF_PROBABILITIES, label_of
from sweep.config.probabilities import calibration_error
from sweep.config.schema import Task
from sweep.engine.metrics import Labels, Probabilities

OfLabel = Callable[[NDArray[np.bool_], NDArray[np.float64]], float]


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The rows of one evaluation: labels `truth` and `decided`, and `chances`, (rows, labels), or
    None where decisions alone are known. `names` are those of the labels, in their order."""

    task: Task
    names: Sequence[str]
    truth: Labels
    decided: Labels
    chances: Probabilities | None = None

    @property
    def marks(self) -> NDArray[np.bool_]:
        """Return whether each label applies to each row, (rows, labels)."""
        if self.task == "multi_label":
            return np.asarray(self.truth == 1)
        return np.asarray(self.truth[:, None] == np.arange(len(self.names)))


def extra_values(asked: Sequence[str], rows: Evaluated) -> dict[str, float]:
    """Return the value of each metric by its name. One that is not defined on these rows is NaN,
    as those of probabilities are where one of these is no number; where decisions alone are known,
    those of probabilities are left out.

    A macro average of AUROC or average precision is over the labels for which it is defined. As in
    scikit-learn, the Brier score is the sum over labels, and half of that for two labels; for a
    multi-label task the mean over labels. F1, MCC and balanced accuracy without a decision to
    count are 0.
    """
    found: dict[str, float] = {}
    finite = rows.chances is not None and bool(np.isfinite(rows.chances).all())
    for name in asked:
        label = label_of(name)
        if label is not None:
            found[name] = _f1(rows, label)
        elif name not in OF_PROBABILITIES:
            found[name] = _OF_DECISIONS[name](rows)
        elif rows.chances is not None:
            found[name] = _OF_CHANCES[name](rows, rows.chances) if finite else float("nan")
    return found


def _f1(rows: Evaluated, label: str) -> float:
    place = list(rows.names).index(label)
    marks = [found == place if rows.task == "single_label" else found[:, place] for found in (rows.truth, rows.decided)]
    return float(f1_score(*marks, zero_division=0.0))


def _mcc(rows: Evaluated) -> float:
    if len(np.unique([rows.truth, rows.decided])) < 2:  # scikit-learn gives 0 too, and warns
        return 0.0
    return float(matthews_corrcoef(rows.truth, rows.decided))


def _balanced_accuracy(rows: Evaluated) -> float:
    """Return the mean recall over the labels that occur."""
    present = np.unique(rows.truth)
    return float(recall_score(rows.truth, rows.decided, labels=present, average="macro", zero_division=0.0))


def _auroc(rows: Evaluated, chances: Probabilities) -> float:
    """Return the mean over labels that some rows have and others lack, each against the rest."""
    return _mean_over_labels(rows.marks, chances, roc_auc_score, lambda marks: bool(marks.any() and not marks.all()))


def _auroc_micro(rows: Evaluated, chances: Probabilities) -> float:
    marks = rows.marks.ravel()
    return float(roc_auc_score(marks, chances.ravel())) if marks.any() and not marks.all() else float("nan")


def _average_precision(rows: Evaluated, chances: Probabilities) -> float:
    """Return the mean over labels that some rows have, of each against the rest."""
    return _mean_over_labels(rows.marks, chances, average_precision_score, lambda marks: bool(marks.any()))


def _average_precision_micro(rows: Evaluated, chances: Probabilities) -> float:
    marks = rows.marks.ravel()
    return float(average_precision_score(marks, chances.ravel())) if marks.any() else float("nan")


def _mean_over_labels(
    marks: NDArray[np.bool_], chances: Probabilities, of_label: OfLabel, defined: Callable[[NDArray[np.bool_]], bool]
) -> float:
    values = [
        of_label(marks[:, place], chances[:, place]) for place in range(marks.shape[1]) if defined(marks[:, place])
    ]
    return float(np.mean(values)) if values else float("nan")


def _log_loss(rows: Evaluated, chances: Probabilities) -> float:
    """Return the mean over rows, for a multi-label task over rows and labels."""
    if rows.task == "single_label":
        return float(log_loss(rows.truth, chances, labels=np.arange(chances.shape[1])))
    return float(log_loss(rows.marks.ravel(), chances.ravel(), labels=[False, True]))


def _brier(rows: Evaluated, chances: Probabilities) -> float:
    errors = np.square(chances - rows.marks)
    if rows.task == "multi_label":
        return float(errors.mean())
    return float(errors.sum(axis=1).mean()) / (2 if chances.shape[1] == 2 else 1)


def _ece(rows: Evaluated, chances: Probabilities) -> float:
    """Return the expected calibration error: of the confidence in the most likely label, for a
    multi-label task of each label's probability beside the share of rows that have the label."""
    if rows.task == "single_label":
        return calibration_error(chances.max(axis=1), chances.argmax(axis=1) == rows.truth)
    return calibration_error(chances.ravel(), rows.marks.ravel())


_OF_DECISIONS: Mapping[str, Callable[[Evaluated], float]] = {"mcc": _mcc, "balanced_accuracy": _balanced_accuracy}
_OF_CHANCES: Mapping[str, Callable[[Evaluated, Probabilities], float]] = {
    "auroc_macro": _auroc,
    "auroc_micro": _auroc_micro,
    "average_precision_macro": _average_precision,
    "average_precision_micro": _average_precision_micro,
    "log_loss": _log_loss,
    "brier": _brier,
    "ece": _ece,
}
