"""The gain that more trials are expected to bring, estimated from the scores of those so far.

The scores above a threshold follow a generalised Pareto distribution (Pickands 1975): for scores
with an upper end its shape is negative. Its shape and scale are averaged over their posterior
rather than fitted, since few trials leave both uncertain: the fewer trials, the larger the
estimate. Trials are taken to be drawn alike. The points of a sampler that learns are better than
that; `benchmarks/outlook.py` measures what the estimate is worth for it.

`optuna.terminator` estimates the same from a Gaussian process on completed trials. It is
deprecated, needs twenty completed trials by default, which a search with a pruner does not have,
and does not see keys with conditions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEAST_TRIALS = 8  # that have ended, before anything is estimated
LEAST_SCORES = 3  # of completed trials
_SHARE = 3  # the best third of the trials is above the threshold, as far as it completed
# The prior of the shape: normal, around that of scores near their upper end. Over the recorded
# tables of benchmarks/results it is the mean of what whole tables have.
_SHAPES = np.linspace(-1.0, 0.2, 12)  # none is 0, where the formulas have a limit alone
_PRIOR = np.exp(-0.5 * ((_SHAPES + 0.6) / 0.2) ** 2)
_SCALES = np.geomspace(0.1, 10.0, 41)  # of the mean excess
_GAINS = np.concatenate([[0.0], np.geomspace(1e-3, 10.0, 60)])  # of the mean excess
_SURE = 0.95


@dataclass(frozen=True, slots=True)
class Gain:
    """The gain in the best score that `more` trials bring beyond those that have ended: the mean
    of what is expected, and the amount that it stays below with a probability of 95 %."""

    more: int
    expected: float
    limit: float
    _gains: tuple[float, ...] = ()
    _chances: tuple[float, ...] = ()

    def chance(self, above: float) -> float:
        """Return the probability that the gain is greater than `above`, 0 or more."""
        return float(np.interp(above, self._gains, self._chances, right=0.0)) if self._gains else 0.0


def expected_gain(scores: Sequence[float], ended: int, more: int, room: float = np.inf) -> Gain | None:
    """Return the gain that `more` trials are expected to bring.

    `scores` are those of the completed trials, greater is better; `ended` counts these and all
    others: pruned ones are taken to be no better than the least of the best third, and failed
    ones neither. No gain is greater than `room`. None where fewer than `LEAST_TRIALS` have ended or fewer than `LEAST_SCORES`
    have a score, or where the best scores are all equal: then the gain is not known.
    """
    if ended < LEAST_TRIALS or len(scores) < LEAST_SCORES:
        return None
    if more <= 0 or room <= 0:
        return Gain(max(more, 0), 0.0, 0.0)
    best_first = np.sort(np.asarray(scores, dtype=float))[::-1]
    above = min(max(LEAST_SCORES, ended // _SHARE), len(best_first) - 1)
    excesses = best_first[:above] - best_first[above]
    size = float(excesses.mean())
    if size <= 0:
        return None
    tail = _Tail.of(excesses / size, rate=(above + 0.5) / (ended + 1))
    gains = np.minimum(_GAINS, room / size)
    chances = tail.exceeded(excesses[0] / size + gains, more)
    return Gain(
        more,
        expected=size * float(np.trapezoid(chances, gains)),
        limit=size * float(np.interp(1 - _SURE, chances[::-1], gains[::-1])),
        _gains=tuple(size * gains),
        _chances=tuple(chances),
    )


@dataclass(frozen=True, slots=True)
class _Tail:
    """The posterior of the distribution of excesses over the threshold, over a grid of shapes
    (rows) and scales (columns). `rate` is the share of trials above the threshold."""

    weights: np.ndarray
    rate: float

    @classmethod
    def of(cls, excesses: np.ndarray, rate: float) -> _Tail:
        logarithms = _log_density(excesses).sum(axis=-1) + np.log(_PRIOR)[:, None]
        weights = np.exp(logarithms - logarithms.max())
        return cls(weights / weights.sum(), rate)

    def exceeded(self, excesses: np.ndarray, trials: int) -> np.ndarray:
        """Return the probability that the best of so many trials is above each of the excesses."""
        single = self.rate * _survival(excesses)
        return np.einsum("sc,sce->e", self.weights, 1 - (1 - single) ** trials)


def _reach(excesses: np.ndarray) -> np.ndarray:
    """Return 1 + shape × excess / scale, shape (shapes, scales, excesses); 0 or less is beyond the
    upper end."""
    return np.asarray(1 + _SHAPES[:, None, None] / _SCALES[None, :, None] * excesses)


def _log_density(excesses: np.ndarray) -> np.ndarray:
    """Return the logarithm of the density of each excess, shape (shapes, scales, excesses)."""
    reach = _reach(excesses)
    inside = np.where(reach > 0, reach, 1.0)
    found = -np.log(_SCALES)[None, :, None] - (1 + 1 / _SHAPES)[:, None, None] * np.log(inside)
    return np.where(reach > 0, found, -np.inf)


def _survival(excesses: np.ndarray) -> np.ndarray:
    """Return the probability of more than each excess, shape (shapes, scales, excesses)."""
    reach = _reach(excesses)
    inside = np.where(reach > 0, reach, 1.0)
    return np.where(reach > 0, inside ** (-1 / _SHAPES)[:, None, None], 0.0)
