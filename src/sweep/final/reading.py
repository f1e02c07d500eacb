"""The reading of the test split. No other module opens it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.metrics import confusion_matrix, multilabel_confusion_matrix

from sweep.config.extra_metrics import is_extra
from sweep.config.metrics import recorded_metrics
from sweep.config.schema import Config, Task
from sweep.data.labels import LabelSpace
from sweep.data.raw import listed
from sweep.data.splits import Rows, Splits, baseline, label_rows
from sweep.engine.evaluation import Measured, Predictions, measure
from sweep.engine.extra_metrics import Evaluated, extra_values
from sweep.engine.folded_trial import mean_measured, mean_metrics
from sweep.engine.metrics import Labels, Scores, decide, score
from sweep.engine.reliability import reliability
from sweep.engine.row_losses import row_losses
from sweep.engine.temperature import calibrated, calibration
from sweep.engine.thresholds import tuned
from sweep.errors import UserError
from sweep.final.final_model import FinalModel
from sweep.records.calibration import Calibration
from sweep.records.trial import Metrics
from sweep.study.session import Session


@dataclass(frozen=True, slots=True)
class Decisions:
    """The probabilities from which labels apply; `thresholds` is None for a single-label task.

    If they were `tuned`, `validation` holds the validation metrics at them. With a `calibration`
    they are calibrated probabilities.
    """

    thresholds: tuple[float, ...] | None
    tuned: bool = False
    validation: Metrics = field(default_factory=dict)
    calibration: Calibration | None = None

    @property
    def cuts(self) -> float | Sequence[float]:
        """Return the thresholds, or 0.5 for a single-label task."""
        return 0.5 if self.thresholds is None else self.thresholds


@dataclass(frozen=True, slots=True)
class Reading:
    """The predictions and scores on the test rows.

    `losses` has shape (rows,) and `test/loss` as its mean; `untuned` are the metrics at 0.5 if
    thresholds were tuned; `confusion`, `before` and `calibration` are as in `FinalRecord`.
    """

    rows: Rows
    predictions: Predictions
    decided: Labels
    losses: NDArray[np.float64]
    metrics: Metrics
    untuned: Metrics
    confusion: tuple[tuple[int, ...], ...]
    before: Metrics
    calibration: Calibration | None = None


def decisions(
    labels: LabelSpace,
    config: Config,
    scored: Callable[[], Sequence[Predictions]],
    *,
    say: Callable[[str], None] = lambda _: None,
) -> Decisions:
    """Return the temperature and the thresholds, which are fitted to the validation rows alone,
    the thresholds to calibrated probabilities, before the test split is opened. A threshold that
    the search had changes with the probabilities, so that decisions stay. `scored` returns the
    predictions for the validation rows, with folds those of each fold: both are fitted to the rows
    of all folds, and the validation metrics are means over the folds. `say` is told which metrics
    of the user's own could not be computed."""
    trainer = config.trainer
    task, tunes = labels.task, labels.task == "multi_label" and trainer.decision_threshold == "tuned"
    fixed = None if task == "single_label" else (trainer.search_threshold,) * len(labels)
    if not tunes and trainer.calibration == "none":
        return Decisions(fixed)
    parts, fitted = scored(), None
    if trainer.calibration == "temperature":
        fitted = calibration(task, *_pooled(parts), folds=[len(one.labels) for one in parts])
        parts = [calibrated(task, one, fitted.temperature, words=config.prompt is not None) for one in parts]
    if not tunes:
        return Decisions(_at_temperature(fixed, fitted), calibration=fitted)
    found, own = tuned(*_pooled(parts)), recorded_metrics(config)
    validation = mean_measured([_measured(labels, one, "eval", found, own) for one in parts])
    for note in failure_notes({" with the tuned thresholds": validation}):
        say(note)
    return Decisions(found, tuned=True, validation=validation.values, calibration=fitted)


def _pooled(parts: Sequence[Predictions]) -> tuple[Scores, Labels]:
    """Return the scores and the labels of all parts, one after the other."""
    return np.concatenate([one.scores for one in parts]), np.concatenate([one.labels for one in parts])


def _at_temperature(thresholds: tuple[float, ...] | None, fitted: Calibration | None) -> tuple[float, ...] | None:
    """Return the thresholds of calibrated probabilities that decide as these do without the
    calibration: those of the search."""
    if thresholds is None or fitted is None:
        return thresholds
    return tuple(float(expit(logit(one) / fitted.temperature)) for one in thresholds)


def read_test(session: Session, config: Config, model: FinalModel, decided: Decisions) -> Reading:
    """Open the test split and return the predictions and scores on it. A line says which metrics
    of the user's own could not be computed.

    Raises UserError if there is no test split.
    """
    locked, labels = session.plan.splits.test, session.plan.splits.labels
    if locked is None:
        raise UserError.of("dataset.test_split", "is null, but the winner is evaluated on it")
    rows, words = locked.open(), config.prompt is not None
    raw, before = model.test(rows)
    predictions, fitted = raw, decided.calibration
    if fitted is not None:
        predictions = calibrated(labels.task, raw, fitted.temperature, words=words)
        fitted = _tested(labels.task, fitted, raw, predictions)
    predicted = decide(labels.task, predictions.scores, decided.cuts)
    own = recorded_metrics(config)
    tested = _measured(labels, predictions, "test", decided.cuts, own)
    untuned = _measured(labels, predictions, "test", 0.5, own) if decided.tuned else Measured({})
    for note in failure_notes({"": tested, " at threshold 0.5": untuned, " before training": before}):
        session.view.say(note)
    return Reading(
        rows=rows,
        predictions=predictions,
        decided=predicted,
        losses=row_losses(labels.task, (raw if words else predictions).scores, raw.labels, words=words),
        metrics=tested.computed,
        untuned=untuned.computed,
        confusion=confusion_counts(predicted, predictions.labels, labels),
        before=before.computed,
        calibration=fitted,
    )


def failure_notes(found: Mapping[str, Measured]) -> Iterator[str]:
    """Yield a line for each reason why metrics of the user's own could not be computed, with their
    names. The keys of `found` say how each was measured, such as ` at threshold 0.5`.

    Such a metric may fail where a label has no row, or is never predicted. The other scores
    count."""
    missing: dict[str, list[str]] = {}
    for how, measured in found.items():
        for name, reason in measured.failed.items():
            missing.setdefault(reason, []).append(f"{name}{how}")
    for reason, names in missing.items():
        yield f"note: {reason}; so there is no {listed(names)}"


def _tested(task: Task, fitted: Calibration, raw: Predictions, found: Predictions) -> Calibration:
    """Return the calibration with the agreement on the test rows."""
    before, after = (reliability(task, one.scores, one.labels) for one in (raw, found))
    return replace(fitted, test_before=before, test_after=after)


def _measured(
    labels: LabelSpace, predictions: Predictions, prefix: str, cuts: float | Sequence[float], own: Sequence[str]
) -> Measured:
    return measure(labels.task, predictions, prefix, cuts, own=own, labels=labels.names)


def shares(train: Rows, labels: LabelSpace) -> tuple[float, ...]:
    """Return the share of train rows that have each label."""
    return tuple(count / len(train) for count in label_rows(labels, train))


def baselines(splits: Splits, test: Rows, recorded: Sequence[str] = ()) -> Mapping[str, float]:
    """Return the scores of the zero-rule classifier on validation and test: it always predicts the
    most frequent label of train. With folds those on validation are the mean over the folds, as
    the trial's are. Of the metrics `recorded` beside the task's, those of decisions are among
    them: this classifier has no probabilities."""
    extra, labels = [name for name in recorded if is_extra(name)], splits.labels
    each = [splits.fold(number) for number in range(1, len(splits.folds) + 1)] or [splits]
    scored = mean_metrics([_zero_rule(labels, one.train, one.validation, extra) for one in each])
    tested = _zero_rule(labels, splits.all_train, test, extra)
    return {
        f"{prefix}/{name}": value
        for prefix, found in (("eval", scored), ("test", tested))
        for name, value in found.items()
    }


def _zero_rule(labels: LabelSpace, train: Rows, rows: Rows, extra: Sequence[str]) -> Metrics:
    predicted = np.asarray(baseline(train, rows, labels), dtype=np.int64)
    truth = np.asarray(rows.labels, dtype=np.int64)
    scores = score(labels.task, predicted, truth)
    return {**scores, **extra_values(extra, Evaluated(labels.task, labels.names, truth, predicted))}


def confusion_counts(decided: Labels, truth: Labels, labels: LabelSpace) -> tuple[tuple[int, ...], ...]:
    """Return the counts of `FinalRecord.confusion`."""
    if labels.task == "single_label":
        matrix = confusion_matrix(truth, decided, labels=range(len(labels)))
    else:
        matrix = multilabel_confusion_matrix(truth, decided).reshape(len(labels), 4)
    return tuple(tuple(int(cell) for cell in row) for row in matrix)
