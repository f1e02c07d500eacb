"""The comparison of rows by which a training is known again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from sweep.records.trial import EvalPoint, Step


def same_rows(some: Sequence[Step | EvalPoint], others: Sequence[Step | EvalPoint]) -> bool:
    """Return whether these are the same rows, by `same_row`."""
    return len(some) == len(others) and all(map(same_row, some, others))


def same_row(one: Step | EvalPoint, other: Step | EvalPoint) -> bool:
    """Return whether two rows are the same: of one kind, step and epoch, with the same metrics in
    any order.

    A metric that is NaN in both is the same: one that is not defined on the validation rows.
    Seconds and measured values, which no two trainings share, do not count.
    """
    return _comparable(one) == _comparable(other)


def _comparable(row: Step | EvalPoint) -> tuple[object, ...]:
    metrics = {name: None if math.isnan(value) else value for name, value in row.metrics.items()}
    return replace(row, metrics={}), metrics
