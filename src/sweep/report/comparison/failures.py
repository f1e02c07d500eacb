"""Test rows by who gets them wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sweep.analysis.predictions import Prediction
from sweep.report.comparison.comparison import Comparison


@dataclass(frozen=True, slots=True)
class Failure:
    """A test row with each method's prediction, in the comparison's order."""

    predictions: tuple[Prediction, ...]
    confidence: float


@dataclass(frozen=True, slots=True)
class Failures:
    """Surest first. `shared` rows every method gets wrong, by mean confidence; those in `alone` only the method named,
    by its own; `right_by` counts the rows that 0, 1, 2, … methods get right."""

    shared: tuple[Failure, ...]
    alone: dict[str, tuple[Failure, ...]]
    right_by: tuple[int, ...]


def failures(comparison: Comparison) -> Failures:
    names = [one.name for one in comparison.contestants]
    right = np.stack([comparison.outcomes.right(name) for name in names], axis=1)
    hits = right.sum(axis=1)
    rows = list(zip(*(one.predictions for one in comparison.contestants), strict=True))
    alone = {
        name: _surest([rows[row] for row in np.flatnonzero((hits == len(names) - 1) & ~right[:, place])], [place])
        for place, name in enumerate(names)
    }
    shared = _surest([rows[row] for row in np.flatnonzero(hits == 0)], range(len(names)))
    return Failures(shared, alone, tuple(np.bincount(hits, minlength=len(names) + 1).tolist()))


def _surest(rows: Sequence[tuple[Prediction, ...]], wrong: Sequence[int]) -> tuple[Failure, ...]:
    found = [Failure(row, math.fsum(row[place].confidence for place in wrong) / len(wrong)) for row in rows]
    return tuple(sorted(found, key=lambda one: (not math.isfinite(one.confidence), -one.confidence)))
