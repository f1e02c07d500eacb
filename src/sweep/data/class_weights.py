"""The numbers of a loss that depend on how many train rows each label has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from sweep.config.schema import Task

Setting = Literal["none", "balanced"] | tuple[float, ...]


def class_weights(task: Task, setting: Setting, counts: Sequence[int], rows: int) -> tuple[float, ...] | None:
    """Return the weight of each label; None where all are alike. `counts` are the train rows of
    each label, of so many `rows`.

    A single-label task gets weights whose mean over the train rows is 1. `balanced` is then rows /
    (labels · count), as `sklearn.utils.class_weight.compute_class_weight` has it. A multi-label
    task gets the `pos_weight` of `torch.nn.BCEWithLogitsLoss`: the list as it is, and for
    `balanced` the rows without the label over the rows with it.
    """
    if setting == "none":
        return None
    if task == "multi_label":
        ratios = (_at_least_one(rows - count) / _at_least_one(count) for count in counts)
        return tuple(ratios) if setting == "balanced" else tuple(map(float, setting))
    raw = [1 / _at_least_one(count) for count in counts] if setting == "balanced" else list(setting)
    mean = math.fsum(weight * count for weight, count in zip(raw, counts, strict=True)) / rows
    return tuple(weight / mean for weight in raw)


def log_priors(task: Task, counts: Sequence[int], rows: int) -> tuple[float, ...]:
    """Return the logarithm of the share of train rows that have each label; for a multi-label task
    that of the odds, which is the same for the two classes that each label has there."""
    present = [_at_least_one(count) for count in counts]
    if task == "single_label":
        return tuple(math.log(count / rows) for count in present)
    return tuple(math.log(one / _at_least_one(rows - count)) for one, count in zip(present, counts, strict=True))


def _at_least_one(count: int) -> int:
    """Return the count, or 1 for 0: a part of the train rows may lack a label that all rows
    together have (`sweep.plan.class_weights` refuses those that have none)."""
    return max(count, 1)
