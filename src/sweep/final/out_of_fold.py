"""The predictions of a folded trial: each row by the fold that did not see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweep.config.schema import Config
from sweep.data.splits import FoldRows, Rows, Splits
from sweep.engine.evaluation import Predictions
from sweep.engine.metrics import Labels, Scores, decide
from sweep.engine.out_of_fold import decoded
from sweep.engine.row_losses import row_losses
from sweep.engine.temperature import calibrated
from sweep.final.final_model import FinalModel
from sweep.final.reading import Decisions, confusion_counts
from sweep.study.session import Session


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """The scored rows of all folds in the order of train, with their predictions and decisions.

    `places` are their places among all train rows, from 0, and `folds` the fold that scored each,
    from 1; both have shape (rows,). `losses` and `confusion` are as in `sweep.final.reading`.
    """

    rows: Rows
    predictions: Predictions
    decided: Labels
    losses: NDArray[np.float64]
    places: NDArray[np.int64]
    folds: NDArray[np.int64]
    confusion: tuple[tuple[int, ...], ...]


def predictions_of(
    session: Session, config: Config, number: int, *, say: Callable[[str], None] = lambda _: None
) -> tuple[Predictions, ...]:
    """Return the predictions of each fold of a trial, at the trial's best evaluation. Empty
    without folds, and where the trial was trained by a version that did not keep them, or they are
    damaged, which `say` is told."""
    splits, path = session.plan.splits, session.store.out_of_fold_path(number)
    if not splits.folds:
        return ()
    sizes = [len(fold.validation) for fold in splits.folds]
    try:
        scores = decoded(path.read_bytes())
        if scores.shape != (sum(sizes), len(splits.labels)):
            raise ValueError(f"it holds {len(scores)} rows, but the folds have {sum(sizes)}")
    except (OSError, ValueError) as error:
        reason = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read: {error}"
        say(
            f"note: {path} {reason}. There is no final/out_of_fold.csv, and what is fitted to validation rows is "
            "fitted to those of the first fold"
        )
        return ()
    parts = np.split(scores, np.cumsum(sizes)[:-1])
    return tuple(_predictions(splits, config, *one) for one in zip(splits.folds, parts, strict=True))


def fitted_to(session: Session, config: Config, number: int, model: FinalModel) -> Sequence[Predictions]:
    """Return the predictions that thresholds and a temperature are fitted to: those of all folds
    of the trial, or else those of the retrained model for the validation rows."""
    return predictions_of(session, config, number) or (model.validation(),)


def out_of_fold(session: Session, config: Config, number: int, decided: Decisions) -> OutOfFold | None:
    """Return the rows of all folds of a trial, decided as the tested model decides; None where
    `predictions_of` has none."""
    splits, words = session.plan.splits, config.prompt is not None
    raw = predictions_of(session, config, number, say=session.view.say)
    if not raw:
        return None
    task, fitted = splits.labels.task, decided.calibration
    found = raw if fitted is None else [calibrated(task, one, fitted.temperature, words=words) for one in raw]
    rows, places, folds = _in_order(splits)
    order = np.argsort(places)
    scores, truth = (
        np.concatenate(each)[order] for each in zip(*((one.scores, one.labels) for one in found), strict=True)
    )
    losses = np.concatenate(
        [row_losses(task, one.scores, one.labels, words=words) for one in (raw if words else found)]
    )[order]
    chosen = decide(task, scores, decided.cuts)
    return OutOfFold(
        rows=_taken(rows, order), predictions=Predictions(scores, truth, loss=float(losses.mean()), seconds=0.0),
        decided=chosen, losses=losses, places=places[order], folds=folds[order],
        confusion=confusion_counts(chosen, truth, splits.labels),
    )  # fmt: skip


def _predictions(splits: Splits, config: Config, fold: FoldRows, scores: Scores) -> Predictions:
    truth, task = np.asarray(fold.validation.labels, dtype=np.int64), splits.labels.task
    loss = float(row_losses(task, scores, truth, words=config.prompt is not None).mean())
    return Predictions(scores, truth, loss=loss, seconds=0.0)


def _in_order(splits: Splits) -> tuple[Rows, NDArray[np.int64], NDArray[np.int64]]:
    """Return the scored rows of all folds, one fold after the other, with their places among all
    train rows and the numbers of their folds."""
    scored = [fold.validation for fold in splits.folds]
    rows = sum(scored[1:], start=scored[0])
    known = {number: place for place, number in enumerate(splits.all_train.numbers)}
    places = [known.get(number, place) for place, number in enumerate(rows.numbers or range(len(rows)))]
    folds = np.repeat(np.arange(1, len(scored) + 1), [len(one) for one in scored])
    return rows, np.asarray(places, dtype=np.int64), folds


def _taken(rows: Rows, order: NDArray[np.int64]) -> Rows:
    """Return the rows in another order."""
    places = order.tolist()
    return Rows(
        texts=tuple(rows.texts[place] for place in places),
        pairs=None if rows.pairs is None else tuple(rows.pairs[place] for place in places),
        labels=tuple(rows.labels[place] for place in places),
    )
