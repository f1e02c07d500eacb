"""The second objective of a trial while it trains."""

from __future__ import annotations

import math
from collections.abc import Callable

from sweep.config.measured import MEASURED
from sweep.config.objective import Objective
from sweep.records.cost import Cost
from sweep.records.trial import Metrics

UNDEFINED = "is no finite number in"  # within the message of `undefined`


def measured_so_far(objective: Objective, cost: Callable[[], Cost]) -> Metrics:
    """Return the second objective of a trial up to now where it is a measured value; else nothing.
    `cost` returns the trial's cost up to now."""
    second = objective.second
    if second is None or second.metric not in MEASURED:
        return {}
    return {second.metric: cost().value(second.metric)}


def undefined(objective: Objective, best: Metrics) -> str:
    """Return that a metric of the objectives is no finite number, as it may be for one of the
    user's own or a label without rows; empty where the trial has its scores. `best` is its best
    evaluation."""
    if not math.isfinite(objective.of(best)):
        return f"{objective.metric} {UNDEFINED} any evaluation"
    second = objective.second
    if second is not None and second.metric not in MEASURED and not math.isfinite(second.of(best)):
        return f"{second.metric} {UNDEFINED} the best evaluation"
    return ""
