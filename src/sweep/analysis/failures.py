"""Failure cases: the rows the model was surest of, and wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sweep.analysis.facts import Facts
from sweep.analysis.predictions import Prediction


@dataclass(frozen=True, slots=True)
class Confidence:
    """Mean confidence over all rows, the wrong and the right ones, and the share of right rows
    among those with a confidence."""

    mean: float
    wrong: float
    right: float
    hits: float


@dataclass(frozen=True, slots=True)
class Failures:
    """`surest` are the wrong rows, most confident first. `columns` are the names of the text
    columns."""

    predictions: int
    columns: tuple[str, ...]
    wrong: int
    confidence: Confidence | None
    surest: tuple[Prediction, ...]


def failures(facts: Facts, rows: Sequence[Prediction]) -> Failures | None:
    """Return the wrong ones of the predicted rows; None where no row is wrong."""
    wrong = [row for row in rows if not row.right]
    if not wrong:
        return None
    data, pairs = facts.config.dataset, any(row.pair is not None for row in rows)
    surest = sorted(wrong, key=lambda row: (-row.confidence if math.isfinite(row.confidence) else math.inf, row.index))
    return Failures(
        predictions=len(rows),
        columns=(data.text_column, data.text_pair_column or "text_pair") if pairs else (data.text_column,),
        wrong=len(wrong),
        confidence=_confidence(rows, wrong),
        surest=tuple(surest),
    )


def _confidence(predictions: Sequence[Prediction], wrong: Sequence[Prediction]) -> Confidence | None:
    """Return the confidence; None where no right or no wrong row has one."""
    right = [row.confidence for row in predictions if row.right and math.isfinite(row.confidence)]
    mistaken = [row.confidence for row in wrong if math.isfinite(row.confidence)]
    if not right or not mistaken:
        return None
    everything = [*right, *mistaken]
    return Confidence(
        mean=math.fsum(everything) / len(everything),
        wrong=math.fsum(mistaken) / len(mistaken),
        right=math.fsum(right) / len(right),
        hits=len(right) / len(everything),
    )
