"""The comparison of evaluations by which a trial is known again."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sweep.records.trial import EvalPoint


def same_evals(some: Sequence[EvalPoint], others: Sequence[EvalPoint]) -> bool:
    """Return whether these are the same evaluations. A metric that is NaN in both is the same: one
    that is not defined on the validation rows."""
    return [_comparable(one) for one in some] == [_comparable(one) for one in others]


def _comparable(point: EvalPoint) -> tuple[object, ...]:
    metrics = {name: None if math.isnan(value) else value for name, value in point.metrics.items()}
    return point.index, point.step, point.epoch, metrics
