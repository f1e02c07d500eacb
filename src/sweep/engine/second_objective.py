"""The second objective of a trial while it trains."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from sweep.config.measured import MEASURED
from sweep.config.objective import Objective
from sweep.records.trial import Metrics

if TYPE_CHECKING:
    from sweep.engine.trial_state import TrialState


def measured_so_far(state: TrialState) -> Metrics:
    """Return the second objective of a trial up to now where it is a measured value; else
    nothing."""
    second = state.settings.objective.second
    if second is None or second.metric not in MEASURED:
        return {}
    device = torch.device("cpu") if state.unlogged is None else state.unlogged.device
    now = state.cost(device, engine="", train_seconds=state.clock.training(), flops=0.0, train_loss=None)
    return {second.metric: now.value(second.metric)}


def undefined(objective: Objective, best: Metrics) -> str:
    """Return that a metric of the objectives is no finite number, as it may be for one of the
    user's own or a label without rows; empty where the trial has its scores. `best` is its best
    evaluation."""
    if not math.isfinite(objective.of(best)):
        return f"{objective.metric} is no finite number in any evaluation"
    second = objective.second
    if second is not None and second.metric not in MEASURED and not math.isfinite(second.of(best)):
        return f"{second.metric} is no finite number in the best evaluation"
    return ""
