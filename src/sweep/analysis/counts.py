"""Metrics from counts of labels, for many samples of the test rows at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweep.config.schema import Task

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of labels on samples of the rows. Three counts are (samples, labels): rows that have
    a label, rows that were given it, and rows with both. `exact` and `overlap` are (samples,): the
    mean over rows of being right, and of labels shared over labels named."""

    true: Floats
    given: Floats
    both: Floats
    exact: Floats
    overlap: Floats


def metric(task: Task, counts: Counts, name: str) -> Floats:
    """Return a metric of `sweep.config.metrics` (all but the loss) of each sample, as scikit-learn
    defines it with `zero_division=0`. A single-label macro mean is over labels that occur, a
    multi-label one over all."""
    if name in ("accuracy", "subset_accuracy"):
        return counts.exact
    if name == "jaccard":
        return counts.overlap
    kind, _, average = name.partition("_")
    if average == "micro":
        return _score(kind, *(part.sum(axis=1) for part in (counts.both, counts.true, counts.given)))
    by_label = _score(kind, counts.both, counts.true, counts.given)
    weights = counts.true
    if average == "macro":
        occurs = (counts.true + counts.given) > 0 if task == "single_label" else np.ones_like(counts.true)
        weights = np.asarray(occurs, dtype=np.float64)
    return _ratio((by_label * weights).sum(axis=1), weights.sum(axis=1))


def marked(places: Mapping[str, int], given: Sequence[Sequence[str]]) -> Bools:
    """Return marks, (rows, labels), true where a row has the label; `places` are the labels'
    columns."""
    marks = np.zeros((len(given), len(places)), dtype=np.bool_)
    for row, names in enumerate(given):
        for name in names:
            marks[row, places[name]] = True
    return marks


def percentiles(drawn: Floats) -> tuple[float, float]:
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)


def _score(kind: str, both: Floats, true: Floats, given: Floats) -> Floats:
    match kind:
        case "precision":
            return _ratio(both, given)
        case "recall":
            return _ratio(both, true)
        case _:
            return _ratio(2 * both, true + given)


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros_like(part, dtype=np.float64), where=whole > 0)
