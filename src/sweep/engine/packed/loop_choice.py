"""The training loop that a trial goes to, as far as its settings tell."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from sweep.config.optimizers import needs_trainer
from sweep.config.settings import TrainSettings
from sweep.engine import cached_head


class Loop(Enum):
    """The training loops."""

    PACKED = "packed"
    CACHED_HEAD = "cached head"
    TRAINER = "trainer"


@dataclass(frozen=True, slots=True)
class LoopChoice:
    """The training loop of a trial. `reason` says why a trial is left to the Trainer; empty for
    the other loops."""

    loop: Loop
    reason: str = ""


def choose_loop(settings: TrainSettings) -> LoopChoice:
    """Return the loop for a trial. A trial for the pack may still turn out not to be packable when
    its model is there."""
    if cached_head.suits(settings):
        return LoopChoice(Loop.CACHED_HEAD)
    reason = _needs_trainer(settings)
    return LoopChoice(Loop.TRAINER, reason) if reason else LoopChoice(Loop.PACKED)


def _needs_trainer(settings: TrainSettings) -> str:
    if reason := needs_trainer(settings.optimizer):
        return reason
    adapter = settings.adapter
    if adapter.trains == "everything":
        return f"adapter.method {adapter.method} trains the base itself"
    if adapter.trains == "head":
        return f"adapter.method {adapter.method} trains no adapter"
    if adapter.packed_kernel is None:
        return f"adapter.method {adapter.method} has no packed kernel"
    if settings.prompt is not None:
        return "label words (prompt) are scored by the language model's own output layer"
    if settings.trainer.fp16:
        return "trainer.fp16 scales the gradients of a whole pass"
    return ""
