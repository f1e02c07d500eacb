"""Slots of a pack: real ones on a tiny model, and toys for the parts of the scheduler."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from support.packs import Judge, go_on
from sweep.data.tokenise import TokenisedData
from sweep.engine.clock import SharedClock
from sweep.engine.packed.packed_model import PackedModel
from sweep.engine.packed.slot import Slot
from sweep.engine.packed.slot_factory import SlotFactory
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.trial import Completed, Cost, EvalPoint, FailureReason, Outcome, TrialPlan

CPU = torch.device("cpu")


@contextmanager
def opened(
    *plans: TrialPlan, data: TokenisedData, base_models: BaseModelCache, folder: Path, judge: Judge = go_on
) -> Iterator[list[Slot]]:
    """Yield a slot for each plan, on a model of its own; `folder` is for their optimizers."""
    factory = SlotFactory(base_models, data, lambda _: None, folder, judge, judge)
    slots = [factory.open(plan) for plan in plans]
    try:
        yield slots
    finally:
        for slot in slots:
            slot.close()


def packed_model(*slots: Slot, data: TokenisedData, base_models: BaseModelCache) -> PackedModel:
    """Return a packed model that has admitted the slots."""
    model = PackedModel(base_models.frozen(slots[0].settings, data.splits.labels))
    for slot in slots:
        rows, logits = slot.sample()
        model.admit(slot.adapters, rows, logits if model.compares(slot.longest) else None)
    return model


@dataclass
class ToyState:
    ended: bool = False


@dataclass(eq=False)
class ToyTable:
    lengths: Sequence[int] = (4,)


@dataclass(eq=False)
class ToySlot:
    """A slot without a model, which is due for an evaluation after each of the batches in `due`,
    and finished after `steps`."""

    plan: TrialPlan
    steps: int = 1
    due: Sequence[int] = ()
    batch_tokens: int = 10
    longest: int = 4
    validation: Any = field(default_factory=ToyTable)
    clock: SharedClock = field(default_factory=SharedClock)
    state: ToyState = field(default_factory=ToyState)
    adapters: Any = field(default_factory=lambda: SimpleNamespace(model=nn.Linear(1, 1)))
    batches: int = 0
    scores: list[Any] = field(default_factory=list)
    failures: list[tuple[FailureReason, str]] = field(default_factory=list)
    closed: bool = False

    @property
    def settings(self) -> Any:
        return self.plan.settings

    @property
    def finished(self) -> bool:
        return bool(self.failures) or self.state.ended or self.batches >= self.steps

    def sample(self) -> tuple[list[Any], Any]:
        return [], None

    def next_batch(self) -> list[int]:
        return [0]

    def finish_batch(self, loss: Tensor, taken: Any) -> bool:  # noqa: ARG002
        self.batches += 1
        return self.batches in self.due

    def on_scores(self, scores: Any, *, started: float) -> None:  # noqa: ARG002
        self.scores.append(scores)

    def fail(self, reason: FailureReason, message: str) -> None:
        self.failures.append((reason, message))

    def outcome(self) -> Outcome:
        point = EvalPoint(1, self.batches, 1.0, {"eval/accuracy": 1.0, "eval/loss": 0.0})
        return Completed(best=point, evals=(point,), cost=Cost(steps=self.batches))

    def close(self) -> None:
        self.closed = True


@dataclass(eq=False)
class ToyModel:
    """A packed model that only notes what it is asked for."""

    admitted: list[Any] = field(default_factory=list)
    released: int = 0
    refuse: Callable[[Any], None] = lambda _: None

    def compares(self, longest: int) -> bool:  # noqa: ARG002
        return False

    def admit(self, trial: Any, rows: Any, logits: Any) -> None:  # noqa: ARG002
        self.refuse(trial)
        self.admitted.append(trial)

    def checkpointing(self) -> None: ...

    def release(self) -> None:
        self.released += 1


@dataclass
class ToyShards:
    """Runs `passes` in place of the real ones: for training it returns a loss and a step, for
    evaluation the scores."""

    run_part: Callable[[str, Sequence[Any]], list[Any]]
    count: int = 1
    asked: list[tuple[str, list[int]]] = field(default_factory=list)

    def run(self, work: Any, models: Any, parts: Sequence[Sequence[Any]]) -> list[tuple[Sequence[Any], Any]]:  # noqa: ARG002
        kind = "train" if getattr(work, "__name__", "") == "train_pass" else "score"
        found: list[tuple[Sequence[Any], Any]] = []
        for part in parts:
            self.asked.append((kind, sorted(slot.plan.number for slot in part)))
            try:
                found.append((part, self.run_part(kind, part)))
            except (RuntimeError, MemoryError) as error:
                found.append((part, error))
        return found


def out_of_memory(*_: Any) -> Any:
    raise torch.OutOfMemoryError("out of memory: a toy has none\nmore")
