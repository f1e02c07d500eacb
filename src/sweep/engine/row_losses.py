"""The loss of each row, from scores alone and without torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_expit, log_softmax

from sweep.config.schema import Task
from sweep.engine.metrics import Labels

Floats = NDArray[np.floating[Any]]


def row_losses(task: Task, scores: Floats, labels: Labels, *, words: bool = False) -> NDArray[np.float64]:
    """Return the loss of each row, (rows,), whose mean `sweep.engine.loss.mean_loss` is.

    With `words`, scores are log-probabilities of label words.
    """
    wide = scores.astype(np.float64)
    if task == "multi_label":
        return np.asarray(-log_expit(np.where(labels == 1, wide, -wide)).mean(axis=1))
    chances = wide if words else log_softmax(wide, axis=1)
    return np.asarray(-np.take_along_axis(chances, labels[:, None], axis=1)[:, 0])
