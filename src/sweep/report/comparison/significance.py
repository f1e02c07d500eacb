"""Whether two methods differ by more than the draw of the test rows explains, pair by pair and over all pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

EXACT_BELOW = 25  # discordant rows up to which chi-square is too rough for McNemar's test


@dataclass(frozen=True, slots=True)
class McNemar:
    """`first_only` rows only the first method has right, `second_only` only the second. `p` is two-sided."""

    first_only: int
    second_only: int
    p: float
    exact: bool


def mcnemar(first_only: int, second_only: int) -> McNemar:
    """McNemar's test (1947) of equal accuracy on the same rows.

    Exact binomial below 25 rows on which the methods disagree, else chi-square with the continuity correction of
    Edwards (1948).
    """
    disagree = first_only + second_only
    if disagree < EXACT_BELOW:
        tail = sum(math.comb(disagree, rows) for rows in range(min(first_only, second_only) + 1))
        return McNemar(first_only, second_only, min(1.0, 2 * tail / 2**disagree), exact=True)
    statistic = max(0, abs(first_only - second_only) - 1) ** 2 / disagree
    # The upper tail of chi-square with one degree of freedom.
    return McNemar(first_only, second_only, math.erfc(math.sqrt(statistic / 2)), exact=False)


def holm(values: Sequence[float]) -> tuple[float, ...]:
    """p-values of as many tests, corrected so that one false alarm among them stays as rare as in one (Holm, 1979)."""
    corrected, largest = [0.0] * len(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=lambda place: values[place])):
        largest = max(largest, min(1.0, (len(values) - rank) * values[place]))
        corrected[place] = largest
    return tuple(corrected)
