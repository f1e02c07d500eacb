"""The reading of the test split. No other module opens it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_expit, log_softmax
from sklearn.metrics import confusion_matrix, multilabel_confusion_matrix

from sweep.config.extra_metrics import is_extra
from sweep.config.metrics import recorded_metrics
from sweep.config.schema import Config, Task
from sweep.data.labels import LabelSpace
from sweep.data.splits import Rows, Splits, baseline, label_rows
from sweep.engine.evaluation import Predictions, measure
from sweep.engine.extra_metrics import Evaluated, extra_values
from sweep.engine.metrics import Labels, decide, score
from sweep.engine.thresholds import tuned
from sweep.errors import UserError
from sweep.final.final_model import FinalModel
from sweep.records.trial import Metrics
from sweep.study.session import Session


@dataclass(frozen=True, slots=True)
class Decisions:
    """The probabilities from which labels apply; `thresholds` is None for a single-label task.

    If they were `tuned`, `validation` holds the validation metrics at them.
    """

    thresholds: tuple[float, ...] | None
    tuned: bool = False
    validation: Metrics = field(default_factory=dict)

    @property
    def cuts(self) -> float | Sequence[float]:
        """Return the thresholds, or 0.5 for a single-label task."""
        return 0.5 if self.thresholds is None else self.thresholds


@dataclass(frozen=True, slots=True)
class Reading:
    """The predictions and scores on the test rows.

    `losses` has shape (rows,) and `test/loss` as its mean; `untuned` are the metrics at 0.5 if
    thresholds were tuned; `confusion` and `before` are as in `FinalRecord`.
    """

    rows: Rows
    predictions: Predictions
    decided: Labels
    losses: NDArray[np.float64]
    metrics: Metrics
    untuned: Metrics
    confusion: tuple[tuple[int, ...], ...]
    before: Metrics


def decisions(session: Session, config: Config, model: FinalModel) -> Decisions:
    """Return the thresholds, which are tuned on the validation rows alone, before the test split
    is opened."""
    labels = session.plan.splits.labels
    if labels.task == "single_label":
        return Decisions(None)
    if config.trainer.decision_threshold != "tuned":
        return Decisions((config.trainer.search_threshold,) * len(labels))
    predictions, own = model.validation(), recorded_metrics(config)
    found = tuned(predictions.scores, predictions.labels)
    return Decisions(found, tuned=True, validation=_measured(labels, predictions, "eval", found, own))


def read_test(session: Session, config: Config, model: FinalModel, decided: Decisions) -> Reading:
    """Open the test split and return the predictions and scores on it.

    Raises UserError if there is no test split.
    """
    locked, labels = session.plan.splits.test, session.plan.splits.labels
    if locked is None:
        raise UserError.of("dataset.test_split", "is null, but the winner is evaluated on it")
    rows, own = locked.open(), recorded_metrics(config)
    predictions, before = model.test(rows)
    predicted = decide(labels.task, predictions.scores, decided.cuts)
    return Reading(
        rows=rows,
        predictions=predictions,
        decided=predicted,
        losses=row_losses(labels.task, predictions, words=config.prompt is not None),
        metrics=_measured(labels, predictions, "test", decided.cuts, own),
        untuned=_measured(labels, predictions, "test", 0.5, own) if decided.tuned else {},
        confusion=_confusion(predicted, predictions.labels, labels),
        before=before,
    )


def _measured(
    labels: LabelSpace, predictions: Predictions, prefix: str, cuts: float | Sequence[float], own: Sequence[str]
) -> Metrics:
    return measure(labels.task, predictions, prefix, cuts, own=own, labels=labels.names)


def row_losses(task: Task, predictions: Predictions, *, words: bool) -> NDArray[np.float64]:
    """Return the loss of each row, (rows,), whose mean `sweep.engine.loss.mean_loss` is.

    With `words`, scores are log-probabilities of label words.
    """
    scores, truth = predictions.scores.astype(np.float64), predictions.labels
    if task == "multi_label":
        return np.asarray(-log_expit(np.where(truth == 1, scores, -scores)).mean(axis=1))
    chances = scores if words else log_softmax(scores, axis=1)
    return np.asarray(-np.take_along_axis(chances, truth[:, None], axis=1)[:, 0])


def shares(train: Rows, labels: LabelSpace) -> tuple[float, ...]:
    """Return the share of train rows that have each label."""
    return tuple(count / len(train) for count in label_rows(labels, train))


def baselines(splits: Splits, test: Rows, recorded: Sequence[str] = ()) -> Mapping[str, float]:
    """Return the scores of the zero-rule classifier on validation and test: it always predicts the
    most frequent label of train. Of the metrics `recorded` beside the task's, those of decisions
    are among them: this classifier has no probabilities."""
    found: dict[str, float] = {}
    extra, labels = [name for name in recorded if is_extra(name)], splits.labels
    for prefix, rows in (("eval", splits.validation), ("test", test)):
        predicted = np.asarray(baseline(splits.train, rows, splits.labels), dtype=np.int64)
        truth = np.asarray(rows.labels, dtype=np.int64)
        scores = score(labels.task, predicted, truth)
        scores |= extra_values(extra, Evaluated(labels.task, labels.names, truth, predicted))
        found |= {f"{prefix}/{name}": value for name, value in scores.items()}
    return found


def _confusion(decided: Labels, truth: Labels, labels: LabelSpace) -> tuple[tuple[int, ...], ...]:
    if labels.task == "single_label":
        matrix = confusion_matrix(truth, decided, labels=range(len(labels)))
    else:
        matrix = multilabel_confusion_matrix(truth, decided).reshape(len(labels), 4)
    return tuple(tuple(int(cell) for cell in row) for row in matrix)
