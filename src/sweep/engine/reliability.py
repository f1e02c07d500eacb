"""The agreement of probabilities with the truth: expected calibration error and reliability bins
(Naeini, Cooper & Hauskrecht 2015; Guo, Pleiss, Sun & Weinberger 2017, "On calibration of modern
neural networks")."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sweep.config.schema import Task
from sweep.engine.metrics import Labels, Probabilities, Scores, probabilities
from sweep.engine.row_losses import row_losses
from sweep.records.calibration import Bin, Reliability

BINS = 15  # of equal width, as Guo et al. have them

Outcomes = NDArray[np.bool_]


def reliability(task: Task, scores: Scores, labels: Labels) -> Reliability:
    """Return the agreement of the probabilities that follow from `scores`, (rows, labels)."""
    found = bins(*predicted(task, probabilities(task, scores), labels))
    return Reliability(float(row_losses(task, scores, labels).mean()), _error(found), found)


def expected_calibration_error(task: Task, chances: Probabilities, labels: Labels) -> float:
    """Return the mean distance, over predictions, of the probability in their bin from the share
    of them that came true; 0 is best.

    `chances` are probabilities, (rows, labels). A prediction is the likeliest label of a row; for
    multi-label it is each label of each row.
    """
    return _error(bins(*predicted(task, chances, labels)))


def predicted(task: Task, chances: Probabilities, labels: Labels) -> tuple[Probabilities, Outcomes]:
    """Return the probability of each prediction, and whether it came true, both in one dimension:
    (rows,) for the likeliest labels, or (rows · labels,) for multi-label."""
    if task == "single_label":
        return np.asarray(chances.max(axis=1)), np.asarray(chances.argmax(axis=1) == labels)
    return np.asarray(chances.ravel()), np.asarray(labels.ravel() == 1)


def bins(chances: Probabilities, outcomes: Outcomes) -> tuple[Bin, ...]:
    """Return the bins of equal width that are not empty; each holds its upper end."""
    places = np.clip(np.ceil(chances * BINS).astype(np.int64) - 1, 0, BINS - 1)
    found = ((chances[inside], outcomes[inside]) for at in range(BINS) if (inside := places == at).any())
    return tuple(Bin(len(held), float(held.mean()), float(true.mean())) for held, true in found)


def _error(found: tuple[Bin, ...]) -> float:
    total = sum(one.count for one in found)
    return sum(one.count * abs(one.probability - one.share) for one in found) / total
