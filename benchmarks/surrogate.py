"""A recorded table with many more points, whose curves are predicted from those of the recorded
ones.

A search of 32 trials takes half of a table of 64 points, so that a sampler that learns can hardly
choose. Two Gaussian processes are fitted to all evaluations of the table: one to the score and one
to the logarithm of the loss. They see the logarithms of the sum of learning rates so far, of the
highest rate and of the batch size, the present rate as a share of the highest one, and the weight
decay. A predicted trial has the steps and evaluations that the study would give it. Each of its
scores gets the same normal error, with the deviation of the last scores from the predictions for
points that were left out of the fit (`errors`).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import log, log2
from random import Random
from statistics import pstdev
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.curves import Curve, Table
from benchmarks.random_values import drawn
from sweep.config.schema import Scalar
from sweep.config.steps import warmup_steps
from sweep.search.progress import progress

if TYPE_CHECKING:
    from sklearn.gaussian_process import GaussianProcessRegressor

_RATE, _WARMUP, _DECAY = "optimizer.learning_rate", "optimizer.warmup_steps", "optimizer.weight_decay"
_BATCH, _EPOCHS = "trainer.per_device_train_batch_size", "trainer.num_train_epochs"
_LEAST = 1e-9
_EARLY = (1, 2, 4)  # eighths of the first epoch
_FOLDS = 4

Row = tuple[float, ...]


class Surrogate:
    """The scores and losses of a table's search space, predicted from its `curves`."""

    def __init__(self, table: Table, curves: Sequence[Curve] | None = None) -> None:
        curves = table.curves if curves is None else curves
        self._table = table
        rows = np.array([row for curve in curves for row in _rows(curve.params, curve.steps)])
        self._mean, self._scale = rows.mean(axis=0), rows.std(axis=0) + _LEAST
        scores = [score for curve in curves for score in curve.scores]
        losses = [log(loss) for curve in curves for loss in curve.losses]
        self._score, self._loss = (_fitted((rows - self._mean) / self._scale, values) for values in (scores, losses))

    def curve(self, params: Mapping[str, Scalar]) -> Curve:
        """Return the predicted curve of a point."""
        at = (*_EARLY, *range(8, 8 * int(params[_EPOCHS]) + 1, 8))
        epoch = self._epoch(params)
        steps = tuple(max(1, round(place * epoch / 8)) for place in at)
        rows = (np.array(list(_rows(params, steps))) - self._mean) / self._scale
        scores, losses = self._score.predict(rows), np.exp(self._loss.predict(rows))
        return Curve(params, tuple(map(float, scores)), at=at, losses=tuple(map(float, losses)), steps=steps)

    def _epoch(self, params: Mapping[str, Scalar]) -> float:
        """Return the optimizer steps of an epoch, those of a recorded trial with the same batch."""
        like = next(curve for curve in self._table.curves if curve.params[_BATCH] == params[_BATCH])
        return like.steps[-1] / float(like.params[_EPOCHS])


def surrogate(table: Table, *, points: int, seed: int = 0) -> Table:
    """Return a table of random points of the same search space, with predicted curves."""
    model, draw, error = Surrogate(table), Random(seed), pstdev(errors(table))
    found = []
    for _ in range(points):
        curve = model.curve({one.key: drawn(one.domain, draw) for one in table.space})
        shift = draw.gauss(0, error)
        found.append(replace(curve, scores=tuple(score + shift for score in curve.scores)))
    longest = max((curve.at for curve in found), key=lambda at: at[-1])
    return replace(table, name=f"{table.name}, {points} predicted points", curves=tuple(found), at=longest)


def errors(table: Table) -> list[float]:
    """Return the last score of each point less its prediction from the other points; a quarter of
    them is left out of each fit."""
    found = []
    for fold in range(_FOLDS):
        model = Surrogate(table, [one for place, one in enumerate(table.curves) if place % _FOLDS != fold])
        found += [one.scores[-1] - model.curve(one.params).scores[-1] for one in table.curves[fold::_FOLDS]]
    return found


def _rows(params: Mapping[str, Scalar], steps: Sequence[int]) -> Iterator[Row]:
    """Yield what a prediction is made from, for each evaluation."""
    rate, total = float(params[_RATE]), steps[-1]
    warmup = warmup_steps(total, float(params[_WARMUP]))
    for step in steps:
        share = progress(step, total=total, warmup=warmup, schedule="linear")
        now = step / warmup if step < warmup else (total - step) / max(1, total - warmup)
        yield log(rate * total * share + _LEAST), log(rate), log2(float(params[_BATCH])), now, float(params[_DECAY])


def _fitted(rows: Any, values: Sequence[float]) -> GaussianProcessRegressor:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    kernel = ConstantKernel(4.0) * RBF([1.0] * rows.shape[1], (0.1, 1e4)) + WhiteKernel(0.01, (1e-5, 1.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # what has no effect gets the longest length
        return GaussianProcessRegressor(kernel, normalize_y=True).fit(rows, np.asarray(values))
