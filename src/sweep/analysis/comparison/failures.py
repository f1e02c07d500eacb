"""Test rows by the methods that get them wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sweep.analysis.comparison.comparison import Comparison
from sweep.analysis.predictions import Prediction


@dataclass(frozen=True, slots=True)
class Failure:
    """A test row with each method's prediction, in the comparison's order."""

    predictions: tuple[Prediction, ...]
    confidence: float


@dataclass(frozen=True, slots=True)
class Failures:
    """Surest first. `shared` rows every method gets wrong, by mean confidence; those in `alone`
    only the method named, by its own. `right_by` counts the rows that 0, 1, 2, … methods get
    right; `best` is the share of rows that the best method gets right, and `reach` the share that
    any method does."""

    shared: tuple[Failure, ...]
    alone: dict[str, tuple[Failure, ...]]
    right_by: tuple[int, ...]
    best: float
    reach: float


def failures(comparison: Comparison) -> Failures:
    """Return the rows that all methods or one of them alone get wrong."""
    names = [one.name for one in comparison.methods]
    right = np.stack([comparison.outcomes.right(name) for name in names], axis=1)
    hits = right.sum(axis=1)
    rows = list(zip(*(one.predictions for one in comparison.methods), strict=True))
    alone = {
        name: _surest([rows[row] for row in np.flatnonzero((hits == len(names) - 1) & ~right[:, place])], [place])
        for place, name in enumerate(names)
    }
    shared = _surest([rows[row] for row in np.flatnonzero(hits == 0)], range(len(names)))
    right_by = tuple(np.bincount(hits, minlength=len(names) + 1).tolist())
    best = float(comparison.outcomes.right(comparison.ranked[0].name).mean())
    return Failures(shared, alone, right_by, best, 1 - right_by[0] / comparison.outcomes.rows)


def _surest(rows: Sequence[tuple[Prediction, ...]], wrong: Sequence[int]) -> tuple[Failure, ...]:
    found = [Failure(row, math.fsum(row[place].confidence for place in wrong) / len(wrong)) for row in rows]
    return tuple(sorted(found, key=lambda one: (not math.isfinite(one.confidence), -one.confidence)))
