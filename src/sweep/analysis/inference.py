"""Statistics of a small number of measurements: intervals and rank correlation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

_Z95 = 1.959963984540054
_EXACT = 7  # values up to which all orders are tried: 7! is 5,040
_DRAWS = 10_000


def wilson(share: float, rows: int) -> tuple[float, float]:
    """Return the 95 % score interval of a proportion seen on `rows` rows (Wilson, 1927).

    `scipy.stats.binomtest` gives the same for whole numbers of rows alone; the share that a random
    guess gets right on average is none.
    """
    if rows <= 0:
        return 0.0, 1.0
    spread = _Z95**2 / rows
    centre = (share + spread / 2) / (1 + spread)
    half = _Z95 * math.sqrt(share * (1 - share) / rows + spread / (4 * rows)) / (1 + spread)
    # Exact at the ends, where rounding would leave a share of 0 just outside its own interval.
    return (0.0 if share <= 0 else centre - half), (1.0 if share >= 1 else centre + half)


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> tuple[float, float] | None:
    """Return Spearman's coefficient and its two-sided permutation p-value; None where a side does
    not vary or n is below 3.

    All orders are tried up to 7 values, 10,000 seeded draws beyond: the same values always give
    the same p.
    """
    if len(first) < 3 or len(set(first)) < 2 or len(set(second)) < 2:
        return None
    left, right = _standardised(first), _standardised(second)
    seen = float(left @ right)
    orders = _orders(len(first))
    chance = left[orders] @ right
    as_strong = np.count_nonzero(np.abs(chance) >= abs(seen) - 1e-9)
    p = as_strong / len(orders) if len(first) <= _EXACT else (as_strong + 1) / (len(orders) + 1)
    return max(-1.0, min(1.0, seen)), float(p)


def _orders(number: int) -> np.ndarray:
    if number <= _EXACT:
        return np.array(list(itertools.permutations(range(number))))
    draws = np.random.default_rng(0).random((_DRAWS, number))
    return np.argsort(draws, axis=1)


def _standardised(values: Sequence[float]) -> np.ndarray:
    """Return ranks (ties share their mean) at mean 0 and length 1, so that a dot product is a
    correlation."""
    array = np.asarray(values, dtype=float)
    ranks = (array[:, None] > array).sum(axis=1) + ((array[:, None] == array).sum(axis=1) - 1) / 2
    centred = ranks - ranks.mean()
    return np.asarray(centred / np.linalg.norm(centred))
