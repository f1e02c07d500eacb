"""The losses at the ends of trials, predicted from the learning curves of all of them.

A Gaussian process models the logarithm of the loss over the logarithm of the learning done, the
sum of the learning rates so far. All trials share one curve: a power law (a linear kernel) with
smooth deviations. Trials at near points of the search space deviate from it alike, and each trial
in a way of its own. High learning rates thus tell early how low ones end, and a trial that trains
far corrects the predictions of all others. To predict frozen curves and go on with the best one is
from freeze-thaw (Swersky et al. 2014, "Freeze-Thaw Bayesian Optimization").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, log

import numpy as np
import numpy.typing as npt

from sweep.search.racer import Racer

Floats = npt.NDArray[np.float64]

# The deviations of the parts of a prediction, in units of the deviation of all logarithms of
# losses, and the lengths over which they change, in those of sums of rates and in the unit cube.
_LEVEL, _SLOPE, _NOISE = 3.0, 0.7, 0.05
_SHARED, _SHARED_LENGTH = 1.0, 1.2
_NEAR, _NEAR_LENGTH, _NEAR_POINTS = 0.5, 1.5, 0.5
_OWN, _OWN_LENGTH = 0.5, 2.0
_LEAST = 1e-9  # a loss, a sum of rates
_MOST = 1000  # evaluations; of more, the first and the last one of each trial count


@dataclass(frozen=True, slots=True)
class LastLoss:
    """The logarithm of a trial's last loss: its mean and its standard deviation."""

    mean: float
    deviation: float


@dataclass(frozen=True, slots=True)
class _Evaluations:
    """Places on learning curves: for each the trial's place among all, and the logarithm of the
    learning done."""

    trials: npt.NDArray[np.intp]
    learnt: Floats


def last_losses(racers: Sequence[Racer]) -> dict[int, LastLoss]:
    """Return the predicted last loss of each unfinished racer by its number. A racer whose last
    evaluation has no finite loss has none."""
    found = [racer for racer in racers if racer.steps and isfinite(racer.scores[-1])]
    asked = [place for place, racer in enumerate(found) if racer.unfinished]
    if not asked:
        return {}
    known = [(place, at) for place, racer in enumerate(found) for at in _evaluations(racer, few=False)]
    if len(known) > _MOST:
        known = [(place, at) for place, racer in enumerate(found) for at in _evaluations(racer, few=True)]
    rates = [racer.rates for racer in found]
    # Without the sums of the rates, equal rates are supposed.
    sums = [racer.length if None in rates else racer.rates or _LEAST for racer in found]
    logs = np.log(np.maximum(np.array(sums, dtype=np.float64), _LEAST))
    shares = np.array([log(found[place].progress[at]) for place, at in known])
    losses = np.array([log(max(-found[place].scores[at], _LEAST)) for place, at in known])
    trials = np.array([place for place, _ in known])
    middle = float((logs[trials] + shares).mean())
    means, deviations = _predicted(
        _Evaluations(trials, logs[trials] + shares - middle), losses,
        _Evaluations(np.array(asked), logs[asked] - middle), _distances([racer.point for racer in found]),
    )  # fmt: skip
    return {
        found[place].number: LastLoss(float(mean), float(deviation))
        for place, mean, deviation in zip(asked, means, deviations, strict=True)
    }


def _evaluations(racer: Racer, *, few: bool) -> list[int]:
    """Return the places of the racer's evaluations with finite losses; a `few` of them."""
    finite = [place for place, score in enumerate(racer.scores) if isfinite(score)]
    return sorted({finite[0], finite[-1]}) if few else finite


def _predicted(known: _Evaluations, losses: Floats, asked: _Evaluations, distances: Floats) -> tuple[Floats, Floats]:
    """Return means and deviations of the logarithms of the losses at the places `asked`."""
    from scipy.linalg import solve_triangular  # most commands need none of it

    mean, unit = losses.mean(), losses.std() + _LEAST
    within = _kernel(known, known, distances) + (_NOISE**2 + 1e-8) * np.eye(len(losses))
    across = _kernel(known, asked, distances)
    lower = np.linalg.cholesky(within)
    weights = solve_triangular(lower, across, lower=True)
    target = solve_triangular(lower, (losses - mean) / unit, lower=True)
    before = _LEVEL**2 + _SLOPE**2 * asked.learnt**2 + _SHARED**2 + _NEAR**2 + _OWN**2
    variance = np.maximum(before - (weights**2).sum(axis=0), 1e-12)
    return mean + unit * (weights.T @ target), unit * np.sqrt(variance)


def _kernel(one: _Evaluations, other: _Evaluations, distances: Floats) -> Floats:
    """Return the prior covariance of the places of `one` (rows) and of `other` (columns)."""
    gaps = (one.learnt[:, None] - other.learnt[None, :]) ** 2 / 2
    near = distances[np.ix_(one.trials, other.trials)] / (2 * _NEAR_POINTS**2)
    same = one.trials[:, None] == other.trials[None, :]
    found: Floats = (
        _LEVEL**2 + _SLOPE**2 * np.outer(one.learnt, other.learnt)
        + _SHARED**2 * np.exp(-gaps / _SHARED_LENGTH**2)
        + _NEAR**2 * np.exp(-gaps / _NEAR_LENGTH**2 - near)
        + _OWN**2 * same * np.exp(-gaps / _OWN_LENGTH**2)
    )  # fmt: skip
    return found


def _distances(points: Sequence[Mapping[str, object]]) -> Floats:
    """Return the squared distance of each two points in the unit cube. Different choices are 1
    apart, and so are keys that only one of two points has."""
    found = np.zeros((len(points), len(points)))
    for key in dict.fromkeys(key for point in points for key in point):
        values = [point.get(key) for point in points]
        if all(isinstance(value, float) for value in values):
            numbers = np.array(values, dtype=np.float64)
            found += (numbers[:, None] - numbers[None, :]) ** 2
        else:
            known: dict[str, int] = {}
            names = np.array([known.setdefault(repr(value), len(known)) for value in values])
            found += names[:, None] != names[None, :]
    return found
