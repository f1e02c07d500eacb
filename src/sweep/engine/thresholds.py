"""Decision thresholds of a multi-label task: the probability from which on a label applies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from sweep.engine.metrics import Labels, Scores

EVEN = 0.5
_ROUNDING = 1e-6  # the probabilities of one text in two batches may differ by this much


def tuned(scores: Scores, labels: Labels) -> tuple[float, ...]:
    """Return for each label the threshold with the highest F1 on these rows (Fan & Lin 2007, "A
    study on threshold selection for multi-label classification"; sorting finds it, Lipton, Elkan &
    Narayanaswamy 2014, "Optimal thresholding of classifiers to maximize F1 measure"); of several
    the one nearest 0.5. A label that no row has keeps 0.5.

    `scores` are logits and `labels` 0 or 1, both (rows, labels). A threshold other than 0.5 lies
    halfway between the two probabilities that it separates, so that neither row is at it.
    """
    return tuple(
        _best(expit(column.astype(np.float64)), truth) for column, truth in zip(scores.T, labels.T, strict=True)
    )


def _best(chances: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    positives = int(truth.sum())
    if positives == 0:
        return EVEN
    order = np.argsort(-chances, kind="stable")
    falling = chances[order]
    hits = np.cumsum(truth[order])
    f1 = 2 * hits / (np.arange(1, len(falling) + 1) + positives)
    below = np.append(falling[1:], 0.0)
    usable = falling - below > _ROUNDING  # equal probabilities cannot be separated
    usable[-1] = True  # below the last one the label applies to all rows
    even = (below < EVEN) & (falling >= EVEN)
    thresholds = np.where(even, EVEN, (falling + below) / 2)[usable]
    best = thresholds[f1[usable] >= f1[usable].max()]
    return float(best[np.argmin(np.abs(best - EVEN))])
