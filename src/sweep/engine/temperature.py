"""Temperature scaling: scores divided by one number, so that probabilities fit (Guo, Pleiss, Sun &
Weinberger 2017, "On calibration of modern neural networks")."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from sweep.config.schema import Task
from sweep.engine.evaluation import Predictions
from sweep.engine.metrics import Labels, Scores
from sweep.engine.reliability import reliability
from sweep.engine.row_losses import row_losses
from sweep.records.calibration import LEAST, MOST, Calibration, limit_reached

_FOLDS = 5
_FEWEST = 10  # rows for cross-fitting
_SEED = 0


def fit(task: Task, scores: Scores, labels: Labels) -> float:
    """Return the temperature with the lowest negative log-likelihood on these rows, one for all
    labels of a multi-label task too. The likelihood has one maximum. Where that is beyond `LEAST`
    or `MOST`, the temperature is close to it (`limit_reached`).

    Return 1 where the scores decide every row rightly: the lower the temperature, the likelier the
    labels, so that nothing can be fitted.
    """
    if _all_right(task, scores, labels):
        return 1.0
    wide = scores.astype(np.float64)

    def loss(logarithm: float) -> float:
        return float(row_losses(task, wide / math.exp(logarithm), labels).mean())

    bounds = (math.log(LEAST), math.log(MOST))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return math.exp(float(found.x))


def calibration(task: Task, scores: Scores, labels: Labels, *, folds: Sequence[int] = ()) -> Calibration:
    """Return the temperature of these validation rows, and how well probabilities fit without and
    with it. With several `folds`, the numbers of rows of folds that come one after the other, the
    rows of a fold are scored with a temperature that was fitted to the other folds."""
    parts, temperature = _parts(len(scores), folds), fit(task, scores, labels)
    after = _cross_fitted(task, scores, labels, parts) if len(parts) > 1 else scaled(scores, temperature)
    return Calibration(
        temperature=temperature,
        rows=len(scores),
        folds=len(parts),
        before=reliability(task, scores, labels),
        after=reliability(task, after, labels),
        stopped_at=limit_reached(temperature),
    )


def scaled(scores: Scores, temperature: float | None) -> Scores:
    """Return the scores divided by a temperature; as they are without one."""
    return scores if temperature is None else np.asarray(scores / np.float64(temperature), dtype=np.float32)


def calibrated(task: Task, found: Predictions, temperature: float, *, words: bool) -> Predictions:
    """Return the predictions with their scores divided by a temperature, and the loss of these
    scores.

    With `words` the loss stays: it is of label words among a whole vocabulary, and the temperature
    is for probabilities among labels.
    """
    scores = scaled(found.scores, temperature)
    loss = found.loss if words else float(row_losses(task, scores, found.labels).mean())
    return replace(found, scores=scores, loss=loss)


def _all_right(task: Task, scores: Scores, labels: Labels) -> bool:
    decided = scores.argmax(axis=1) if task == "single_label" else scores > 0
    return bool((decided == labels).all())


def _parts(rows: int, folds: Sequence[int]) -> list[NDArray[np.int64]]:
    """Return the numbers of the rows of each part for cross-fitting; one part for too few rows."""
    if len(folds) > 1:
        return np.split(np.arange(rows), np.cumsum(folds)[:-1])
    return np.array_split(np.random.default_rng(_SEED).permutation(rows), _FOLDS if rows >= _FEWEST else 1)


def _cross_fitted(task: Task, scores: Scores, labels: Labels, parts: Sequence[NDArray[np.int64]]) -> Scores:
    """Return the scores of each part divided by a temperature fitted to the other parts."""
    every, found = np.arange(len(scores)), np.empty_like(scores)
    for part in parts:
        others = np.setdiff1d(every, part)
        found[part] = scaled(scores[part], fit(task, scores[others], labels[others]))
    return found
