"""Slots of a pack: real ones on a tiny model, and toys for the parts of the scheduler."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from support.packs import Judge, go_on
from sweep.data.tokenise import TokenisedData
from sweep.engine.clock import SharedClock
from sweep.engine.limit_watch import LimitWatch
from sweep.engine.packed.batch import Row
from sweep.engine.packed.packed_model import PackedModel
from sweep.engine.packed.slot import Slot
from sweep.engine.packed.slot_factory import SlotFactory
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.cost import Cost
from sweep.records.trial import Completed, EvalPoint, FailureReason, Outcome, TrialPlan

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
    interrupted: bool = False


@dataclass(eq=False)
class ToyTable:
    lengths: Sequence[int] = (4,)

    @property
    def rows(self) -> list[Row]:
        return [Row(np.zeros(length, dtype=np.int64)) for length in self.lengths]

    @property
    def longest_first(self) -> list[int]:
        return sorted(range(len(self.lengths)), key=lambda row: -self.lengths[row])


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
    watch: LimitWatch = field(default_factory=lambda: LimitWatch({}, CPU, shares=True))
    adapters: Any = field(default_factory=lambda: SimpleNamespace(model=nn.Linear(1, 1)))
    batches: int = 0
    evaluation_due: bool = False
    scores: list[float] = field(default_factory=list)  # of the first row, by evaluation
    asked: list[float] = field(default_factory=list)
    offered: list[int] = field(default_factory=list)  # batches at which a snapshot could be taken
    failures: list[tuple[FailureReason, str]] = field(default_factory=list)
    closed: bool = False

    @property
    def settings(self) -> Any:
        return self.plan.settings

    @property
    def finished(self) -> bool:
        ended = bool(self.failures) or self.state.ended
        return ended or (self.batches >= self.steps and not self.evaluation_due)

    def ask(self, *, unheard: float) -> None:
        self.asked.append(unheard)

    def offer_snapshot(self) -> None:
        self.offered.append(self.batches)

    def sample(self) -> tuple[list[Any], Any]:
        return [], None

    def next_batch(self) -> list[int]:
        return [0]

    def finish_batch(self, loss: Tensor, taken: Any) -> bool:  # noqa: ARG002
        self.batches += 1
        self.evaluation_due = self.batches in self.due
        return self.evaluation_due

    def on_scores(self, scores: Tensor, *, started: float) -> None:  # noqa: ARG002
        self.scores.append(scores[0].item())
        self.evaluation_due = False

    def fail(self, reason: FailureReason, message: str) -> None:
        self.failures.append((reason, message))
        self.evaluation_due = False

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
    """Runs `run_part` in place of the real passes: for training it returns a loss and a step of
    each slot, for evaluation the scores of the next rows."""

    run_part: Callable[[str, Sequence[Any]], list[Any]]
    count: int = 1
    asked: list[tuple[str, list[int]]] = field(default_factory=list)

    def run(self, work: Any, models: Any, parts: Sequence[Any]) -> list[tuple[Any, Any]]:  # noqa: ARG002
        trains = getattr(work, "__name__", "") == "train_pass"
        return [(part, self._run("train" if trains else "score", part)) for part in parts]

    def _run(self, kind: str, part: Any) -> Any:
        slots = part.slots if kind == "score" else part
        self.asked.append((kind, sorted(slot.plan.number for slot in slots)))
        try:
            found = self.run_part(kind, slots)
        except (RuntimeError, MemoryError) as error:
            return error
        if kind == "train":
            return found
        for own, scores in zip(part.found, found, strict=True):
            own.append(scores)
        part.left.popleft()
        return None


def out_of_memory(*_: Any, **__: Any) -> Any:
    raise torch.OutOfMemoryError("out of memory: a toy has none\nmore")
