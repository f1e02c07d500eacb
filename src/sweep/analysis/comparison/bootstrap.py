"""The paired bootstrap: all methods are scored on the same resampled test rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweep.analysis.comparison.outcomes import Outcomes
from sweep.analysis.counts import Bools, Counts, Floats, metric, percentiles

_CELLS = 4_000_000  # of the largest matrix held at once: 32 MB


@dataclass(frozen=True, slots=True)
class Resampled:
    """Metrics on all rows (`seen`) and on the resamples (`drawn`, each (samples,)), by method,
    then by metric."""

    seen: Mapping[str, Mapping[str, float]]
    drawn: Mapping[str, Mapping[str, Floats]]

    def interval(self, method: str, name: str) -> tuple[float, float]:
        """Return the middle 95 % of the resamples."""
        return percentiles(self.drawn[method][name])

    def difference(self, first: str, second: str, name: str) -> Difference:
        """Return first minus second. Both are scored on the same draws, so that rows which both
        find hard cancel out."""
        drawn = self.drawn[first][name] - self.drawn[second][name]
        seen = self.seen[first][name] - self.seen[second][name]
        return Difference(name, seen, percentiles(drawn), _two_sided(drawn))


@dataclass(frozen=True, slots=True)
class Difference:
    """`interval` holds the middle 95 % of the resamples; `p` is two-sided."""

    metric: str
    value: float
    interval: tuple[float, float]
    p: float


def resample(outcomes: Outcomes, names: Sequence[str], *, samples: int, seed: int) -> Resampled:
    """Return the paired bootstrap over the test rows (Efron and Tibshirani, 1993; Koehn, 2004),
    the same for the same seed.

    Rows with equal truth and equal predictions of all methods are one pattern, and a resample is a
    multinomial draw of patterns: there are far fewer of them than rows where labels are few.
    """
    patterns, rows = _patterns(outcomes)
    seen = {one: _metrics(outcomes, patterns[one], patterns[""], rows[None, :], names) for one in outcomes.predicted}
    parts: dict[str, list[dict[str, Floats]]] = {one: [] for one in outcomes.predicted}
    for weights in _draws(rows, samples, seed):
        for one, collected in parts.items():
            collected.append(_metrics(outcomes, patterns[one], patterns[""], weights, names))
    return Resampled(
        seen={one: {name: float(found[name][0]) for name in names} for one, found in seen.items()},
        drawn={
            one: {name: np.concatenate([part[name] for part in collected]) for name in names}
            for one, collected in parts.items()
        },
    )


def _two_sided(drawn: Floats) -> float:
    """Return the p-value of no difference, from the inverted percentile interval; the added one
    keeps it above 0 (Davison and Hinkley, 1997)."""
    below, above = int((drawn <= 0).sum()), int((drawn >= 0).sum())
    return min(1.0, 2 * (min(below, above) + 1) / (len(drawn) + 1))


def _patterns(outcomes: Outcomes) -> tuple[dict[str, Bools], NDArray[np.int64]]:
    """Return the distinct rows, (patterns, labels) for the truth (under the empty name) and each
    method, and their counts."""
    blocks = {"": outcomes.truth, **outcomes.predicted}
    packed = np.packbits(np.concatenate(list(blocks.values()), axis=1), axis=1)
    _, first, rows = np.unique(packed, axis=0, return_index=True, return_counts=True)
    return {name: block[first] for name, block in blocks.items()}, rows.astype(np.int64)


def _draws(rows: NDArray[np.int64], samples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield batches of shape (samples, patterns): the count of each pattern in a draw with
    replacement of as many rows."""
    generator, batch = np.random.default_rng(seed), max(1, _CELLS // len(rows))
    for start in range(0, samples, batch):
        yield generator.multinomial(rows.sum(), rows / rows.sum(), size=min(batch, samples - start))


def _metrics(
    outcomes: Outcomes, predicted: Bools, truth: Bools, weights: NDArray[np.int64], names: Sequence[str]
) -> dict[str, Floats]:
    # A float32 holds counts of rows exactly, and has the fastest matrix product.
    drawn, rows = weights.astype(np.float32), float(outcomes.rows)
    both, either = truth & predicted, truth | predicted
    shared = np.where(either.any(axis=1), both.sum(axis=1) / np.maximum(either.sum(axis=1), 1), 1.0)
    counts = Counts(
        true=_summed(drawn, truth), given=_summed(drawn, predicted), both=_summed(drawn, both),
        exact=weights @ (truth == predicted).all(axis=1) / rows, overlap=weights @ shared / rows,
    )  # fmt: skip
    return {name: metric(outcomes.task, counts, name) for name in names}


def _summed(weights: NDArray[np.float32], marks: Bools) -> Floats:
    return np.asarray(weights @ marks.astype(np.float32), dtype=np.float64)
