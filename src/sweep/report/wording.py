"""Words that several reports share."""

from __future__ import annotations

from sweep.analysis.experiment import Weights, weights
from sweep.config.schema import ModelConfig

_MADE: dict[Weights, str] = {
    "pretrained": "",
    "random": ", with random weights",
    "shrunk": ", shrunk, with random weights",
}


def made(model: ModelConfig | Weights) -> str:
    """Return what has to be said beside the model's name; empty for a pretrained one."""
    return _MADE[weights(model) if isinstance(model, ModelConfig) else model]
