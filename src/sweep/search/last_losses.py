"""The losses at the ends of trials, predicted from the learning curves of all of them.

A Gaussian process models the logarithm of the loss over the logarithm of the learning done, the
sum of the learning rates so far. All trials share one curve: a power law (a linear kernel) with
smooth deviations. Trials at near points of the search space deviate from it alike, and each trial
in a way of its own. High learning rates thus tell early how low ones end, and a trial that trains
far corrects the predictions of all others. To predict frozen curves and go on with the best one is
from freeze-thaw (Swersky et al. 2014, "Freeze-Thaw Bayesian Optimization").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from math import isfinite, log
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from sweep.search.nearness import Floats, Nearness
from sweep.search.racer import Racer

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

# Standard deviations of the parts of a prediction, in units of that of all log losses. Lengths are
# in logarithms of sums of rates.
_LEVEL, _SLOPE, _NOISE = 3.0, 0.7, 0.05
_SHARED, _SHARED_LENGTH = 1.0, 1.2
_NEAR, _NEAR_LENGTH = 0.5, 1.5
_OWN, _OWN_LENGTH = 0.5, 2.0
_LEAST = 1e-9  # a loss, a sum of rates
_MOST = 500  # evaluations that a prediction learns from: about 20 ms for 512 trials on a busy machine
# A log loss counts as no more than the median of the first ones and this, or so many of their
# median absolute deviations.
_DIVERGED, _DIVERGED_DEVIATIONS = log(2), 4.0
_ROWS = 32  # of a covariance that are computed at once: what they take stays in the processor's cache
_DECIMALS = 9  # of a mean; equal trials differ by rounding in those that follow


class LastLoss(NamedTuple):
    """The logarithm of a trial's last loss: its mean and its standard deviation."""

    mean: float
    deviation: float


@dataclass(frozen=True, slots=True)
class _Evaluations:
    """Places on learning curves: for each the trial's place among all, and the logarithm of the
    learning done."""

    trials: npt.NDArray[np.intp]
    learnt: Floats


@dataclass(slots=True)
class KnownLastLosses:
    """The predictions of the last call, kept while no trial has another evaluation: free slots
    ask for one trial after another."""

    _asked: Sequence[tuple[object, ...]] = ()
    _found: dict[int, LastLoss] = field(default_factory=dict)
    _nearness: Nearness = field(default_factory=Nearness)

    def of(self, racers: Sequence[Racer]) -> dict[int, LastLoss]:
        """Return what `last_losses` returns for the racers."""
        asked = [
            (racer.number, racer.curve, racer.unfinished, racer.rates, racer.length, racer.point) for racer in racers
        ]
        if asked != self._asked:
            self._asked, self._found = asked, last_losses(racers, self._nearness)
        return self._found


def log_loss(score: float) -> float:
    """Return the logarithm of a loss that is given negated, as a score."""
    return log(max(-score, _LEAST))


def last_losses(racers: Sequence[Racer], nearness: Nearness | None = None) -> dict[int, LastLoss]:
    """Return the predicted last loss of each unfinished racer by its number. A racer whose last
    evaluation has no finite loss has none. `nearness` keeps how near the racers' points are."""
    found = [racer for racer in racers if racer.steps and isfinite(racer.scores[-1])]
    asked = [place for place, racer in enumerate(found) if racer.unfinished]
    if not asked:
        return {}
    places = {racer.number: place for place, racer in enumerate(found)}
    lessons = [(places[racer.number], evaluations) for racer, evaluations in _lessons(found)]
    known = [(place, at) for place, evaluations in lessons for at in evaluations]
    trials = np.array([place for place, _ in known])
    logs = _rate_sums(found)
    learnt = logs[trials] + np.array([log(found[place].progress[at]) for place, at in known])
    losses = np.array([log_loss(found[place].scores[at]) for place, at in known])
    highest = _highest([found[place] for place, _ in lessons])
    middle = float(learnt.mean())
    means, deviations = _predicted(
        _Evaluations(trials, learnt - middle), np.minimum(losses, highest),
        _Evaluations(np.array(asked), logs[asked] - middle),
        (nearness or Nearness()).of([racer.point for racer in found], trials.tolist()),
    )  # fmt: skip
    return {
        found[place].number: LastLoss(round(mean, _DECIMALS), deviation)
        for place, mean, deviation in zip(asked, means.tolist(), deviations.tolist(), strict=True)
    }


def _rate_sums(racers: Sequence[Racer]) -> Floats:
    """Return the logarithms of the sums of the learning rates over the whole schedules. Where not
    all sums are known, equal rates are supposed."""
    known = all(racer.rates is not None for racer in racers)
    sums = [(racer.rates or _LEAST) if known else racer.length for racer in racers]
    return np.log(np.maximum(np.array(sums, dtype=np.float64), _LEAST))


def _lessons(racers: Sequence[Racer]) -> list[tuple[Racer, list[int]]]:
    """Return the racers to learn from, each with the places of its evaluations that count.

    All with finite losses count if they are `_MOST` at most. Of more, the first and the last one
    of each racer count, or the last one alone, or the last ones of so many racers: those that have
    more than one, and an even choice of the others."""
    finite = [[at for at, score in enumerate(racer.scores) if isfinite(score)] for racer in racers]
    for counted in (finite, [sorted({places[0], places[-1]}) for places in finite]):
        if sum(map(len, counted)) <= _MOST:
            return list(zip(racers, counted, strict=True))
    first = _evenly([racer for racer in racers if len(racer.scores) > 1], _MOST)
    others = [racer for racer in racers if len(racer.scores) == 1]
    return [(racer, [len(racer.scores) - 1]) for racer in (*first, *_evenly(others, _MOST - len(first)))]


def _evenly(racers: Sequence[Racer], most: int) -> list[Racer]:
    """Return all racers, or `most` of them at even distances."""
    count = min(most, len(racers))
    return [racers[place * len(racers) // count] for place in range(count)]


def _highest(racers: Sequence[Racer]) -> float:
    """Return the highest log loss that counts. One diverging trial would bend the curve that all
    share, and raise the unit of all deviations."""
    firsts = np.array([log_loss(next(filter(isfinite, racer.scores))) for racer in racers])
    middle = np.median(firsts)
    return float(middle + max(_DIVERGED, _DIVERGED_DEVIATIONS * np.median(abs(firsts - middle))))


def _predicted(known: _Evaluations, losses: Floats, asked: _Evaluations, near: Floats) -> tuple[Floats, Floats]:
    """Return means and deviations of the logarithms of the losses at the places `asked`. `near`
    has a row for each place that is `known`, with the nearness of its trial to all trials."""
    from scipy.linalg import cholesky, solve_triangular  # most commands need none of it

    mean, unit = losses.mean(), losses.std() + _LEAST
    within = _kernel(known, known, near)
    within[np.diag_indices_from(within)] += _NOISE**2 + 1e-8
    across = _kernel(known, asked, near)
    with _threads().limit(limits=1, user_api="blas"):
        # Transposed, a symmetric matrix is in the order of LAPACK, which needs no copy then.
        lower = cholesky(within.T, lower=True, overwrite_a=True, check_finite=False)
        weights = solve_triangular(lower, across, lower=True, check_finite=False)
        target = solve_triangular(lower, (losses - mean) / unit, lower=True, check_finite=False)
        means = target @ weights
    before = _LEVEL**2 + _SLOPE**2 * asked.learnt**2 + _SHARED**2 + _NEAR**2 + _OWN**2
    variance = np.maximum(before - np.einsum("ij,ij->j", weights, weights), 1e-12)
    return mean + unit * means, unit * np.sqrt(variance)


@cache
def _threads() -> ThreadpoolController:
    """Return the thread pools of the linear algebra. A second thread gains nothing for matrices
    this small, and keeps them waiting where workers use the same processors."""
    import scipy.linalg  # noqa: F401 - only loaded libraries are found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _kernel(one: _Evaluations, other: _Evaluations, near: Floats) -> Floats:
    """Return the prior covariance of the places of `one` (rows) and of `other` (columns). `near`
    has a row for each place of `one`, with the nearness of its trial to all trials."""
    found = np.empty((len(one.trials), len(other.trials)))
    for first in range(0, len(found), _ROWS):
        rows = slice(first, first + _ROWS)
        learnt = one.learnt[rows, None]
        gaps = (learnt - other.learnt) ** 2 / 2
        part = (
            _LEVEL**2 + _SLOPE**2 * learnt * other.learnt
            + _SHARED**2 * np.exp(-gaps / _SHARED_LENGTH**2)
            + _NEAR**2 * np.exp(-gaps / _NEAR_LENGTH**2) * near[rows, other.trials]
        )  # fmt: skip
        same = np.nonzero(one.trials[rows, None] == other.trials)
        part[same] += _OWN**2 * np.exp(-gaps[same] / _OWN_LENGTH**2)
        found[rows] = part
    return found
