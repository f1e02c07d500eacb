"""The scores of rows by the folds that did not see them, as the bytes of a NumPy file (`.npy`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO

import numpy as np

from sweep.config.settings import TrainSettings
from sweep.engine.evaluation import Predictions
from sweep.engine.metrics import Scores
from sweep.records.trial import EvalPoint


def reported(point: EvalPoint, found: Predictions, settings: TrainSettings) -> EvalPoint:
    """Return an evaluation as the study hears of it: that of a fold with the scores of its
    rows."""
    return replace(point, scores=encoded(found.scores)) if settings.fold else point


def encoded(scores: Scores) -> bytes:
    """Return the file of scores, (rows, labels), as float32."""
    file = BytesIO()
    np.save(file, scores.astype(np.float32), allow_pickle=False)
    return file.getvalue()


def decoded(data: bytes) -> Scores:
    """Return the scores of a file, (rows, labels). Raises ValueError where it is damaged."""
    try:
        found = np.load(BytesIO(data), allow_pickle=False)
    except EOFError as error:  # an empty file
        raise ValueError(str(error)) from None
    if not isinstance(found, np.ndarray) or found.ndim != 2 or found.dtype != np.float32:
        raise ValueError("it holds no scores")
    return found


def joined(parts: Sequence[bytes]) -> bytes:
    """Return one file with the rows of all parts, in their order."""
    return encoded(np.concatenate([decoded(part) for part in parts]))
