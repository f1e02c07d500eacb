"""The calibration of the winner, and what abstaining from uncertain rows would bring on the test
split."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sweep.analysis.facts import Facts
from sweep.analysis.inference import wilson
from sweep.records.calibration import Calibration

LEVELS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)  # confidences of the table
_POINTS = 200  # of the curve


@dataclass(frozen=True, slots=True)
class Abstention:
    """The test rows that are answered where rows below a `confidence` are not: their number, their
    share of all, and the share of them that is right, with its Wilson interval; None without a
    row."""

    confidence: float
    answered: int
    coverage: float
    accuracy: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Calibrated:
    """`found` is as it was recorded, with `folded` on rows of the first fold, or of `all_folds`.
    `levels` are the rows of a table, and `curve` holds the (share answered, share right of those)
    at every confidence, the most confident rows first (El-Yaniv & Wiener 2010, "On the foundations
    of noise-free selective classification")."""

    found: Calibration
    refit: bool
    folded: bool
    all_folds: bool
    levels: tuple[Abstention, ...]
    curve: tuple[tuple[float, float], ...]
    words: bool  # with a prompt


def calibrated(facts: Facts) -> Calibrated | None:
    """Return the calibration of the winner; None where it has none, or was not tested."""
    final = facts.final
    if final is None or final.calibration is None:
        return None
    rows = [(row.confidence, row.right) for row in facts.predictions if math.isfinite(row.confidence)]
    levels = tuple(_abstention(rows, level) for level in LEVELS) if rows else ()
    folded, words = facts.config.dataset.folds is not None, final.config.prompt is not None
    every = folded and bool(final.out_of_fold)
    return Calibrated(final.calibration, final.refit is not None, folded, every, levels, _curve(rows), words)


def _abstention(rows: Sequence[tuple[float, bool]], level: float) -> Abstention:
    answered = [right for confidence, right in rows if confidence >= level]
    count, coverage = len(answered), len(answered) / len(rows)
    if not answered:
        return Abstention(level, 0, 0.0, None, None)
    accuracy = sum(answered) / count
    return Abstention(level, count, coverage, accuracy, wilson(accuracy, count))


def _curve(rows: Sequence[tuple[float, bool]]) -> tuple[tuple[float, float], ...]:
    """Return a point for each confidence, rows of equal confidence together; of many points, as
    many as a figure can show."""
    ordered, right, found = sorted(rows, reverse=True), 0, []
    for count, (confidence, correct) in enumerate(ordered, start=1):
        right += correct
        if count == len(ordered) or ordered[count][0] < confidence:
            found.append((count / len(ordered), right / count))
    if len(found) <= _POINTS:
        return tuple(found)
    return tuple(found[round(place * (len(found) - 1) / (_POINTS - 1))] for place in range(_POINTS))
