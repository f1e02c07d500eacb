"""The agreement of probabilities with the truth (Guo, Pleiss, Sun & Weinberger 2017, "On
calibration of modern neural networks")."""

from __future__ import annotations

import numpy as np

from sweep.config.probabilities import CalibrationBins, calibration_bins
from sweep.config.schema import Task
from sweep.engine.metrics import Labels, Scores, probabilities
from sweep.engine.row_losses import row_losses
from sweep.records.calibration import Bin, Reliability


def reliability(task: Task, scores: Scores, labels: Labels) -> Reliability:
    """Return the agreement of the probabilities that follow from `scores`, (rows, labels): of the
    likeliest label of each row with whether it is right; for multi-label of each label of each row
    with whether it applies."""
    chances = probabilities(task, scores)
    if task == "single_label":
        found = calibration_bins(chances.max(axis=1), np.asarray(chances.argmax(axis=1) == labels))
    else:
        found = calibration_bins(chances.ravel(), np.asarray(labels.ravel() == 1))
    return Reliability(float(row_losses(task, scores, labels).mean()), found.error, _records(found))


def _records(found: CalibrationBins) -> tuple[Bin, ...]:
    values = zip(found.rows.tolist(), found.confidence.tolist(), found.accuracy.tolist(), strict=True)
    return tuple(Bin(count, probability, share) for count, probability, share in values)
