"""Trainings whose state is not all in their weights, buffers and `optimizer.state`, so that they
have no snapshots.
"""

from __future__ import annotations

from torch import nn

from sweep.config.optimizers import OPTIMIZERS
from sweep.config.settings import TrainSettings


def unsaved(settings: TrainSettings, model: nn.Module) -> str:
    """Return the reason why a training has no snapshots; empty where it can have them."""
    name = settings.optimizer.name
    if reason := OPTIMIZERS[name].unsaved:
        return f"optimizer.name {name} {reason}"
    if any("dynamic" in str(getattr(module, "rope_type", "")) for module in model.modules()):
        return "the rotary embedding of the model changes with the longest text so far"
    return ""
