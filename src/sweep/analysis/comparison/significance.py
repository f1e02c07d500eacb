"""Tests of whether two methods differ by more than the draw of the test rows explains, for one
pair and for many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

EXACT_BELOW = 25  # discordant rows up to which chi-square is too rough for McNemar's test


@dataclass(frozen=True, slots=True)
class McNemar:
    """`first_only` rows only the first method has right, `second_only` only the second. `p` is
    two-sided."""

    first_only: int
    second_only: int
    p: float
    exact: bool


def mcnemar(first_only: int, second_only: int) -> McNemar:
    """Return McNemar's test (1947) of equal accuracy on the same rows.

    Below 25 rows on which the methods disagree it is the exact binomial test of `scipy.stats`,
    else chi-square with the continuity correction of Edwards (1948).
    """
    disagree = first_only + second_only
    if disagree < EXACT_BELOW:
        return McNemar(first_only, second_only, _binomial(first_only, disagree), exact=True)
    statistic = max(0, abs(first_only - second_only) - 1) ** 2 / disagree
    # erfc is the upper tail of chi-square with one degree of freedom.
    return McNemar(first_only, second_only, math.erfc(math.sqrt(statistic / 2)), exact=False)


def _binomial(first_only: int, disagree: int) -> float:
    """Return the two-sided p-value of a fair coin; 1 where the methods never disagree."""
    if not disagree:
        return 1.0
    from scipy.stats import binomtest  # takes half a second, and most commands need none of it

    return float(binomtest(first_only, disagree).pvalue)


def holm(values: Sequence[float]) -> tuple[float, ...]:
    """Return the p-values of as many tests, corrected so that one false alarm among them stays as
    rare as in one (Holm, 1979)."""
    corrected, largest = [0.0] * len(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=lambda place: values[place])):
        largest = max(largest, min(1.0, (len(values) - rank) * values[place]))
        corrected[place] = largest
    return tuple(corrected)
