"""The calibration of probabilities: the confidence in decisions beside the share that is right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 15  # as Guo et al. (2017)


@dataclass(frozen=True, slots=True)
class CalibrationBins:
    """Bins of equal width over confidences from 0 to 1, without the empty ones. `rows`,
    `confidence` (the mean) and `accuracy` have shape (bins,), and so has `low`, the lower end of
    each bin, which does not belong to it."""

    low: NDArray[np.float64]
    rows: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def error(self) -> float:
        """Return the mean difference of confidence and accuracy, weighted by rows; NaN without
        rows."""
        total = self.rows.sum()
        return float((self.rows * np.abs(self.confidence - self.accuracy)).sum() / total) if total else float("nan")


def calibration_bins(confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = BINS) -> CalibrationBins:
    """Return the bins of decisions by their confidence, (rows,), and whether each was right."""
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    rows = np.bincount(place, minlength=bins)
    held = rows > 0

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.bincount(place, weights=values, minlength=bins)[held] / rows[held])

    low = np.flatnonzero(held) / bins
    return CalibrationBins(low, rows[held].astype(np.int64), mean(confidence), mean(right.astype(np.float64)))


def calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = BINS) -> float:
    """Return the expected calibration error (Naeini et al. 2015; Guo et al. 2017): the mean
    difference of confidence and accuracy over bins of equal width, weighted by their rows."""
    return calibration_bins(confidence, right, bins).error
