"""Admission to the pack, with toy slots and models: who enters when, is deferred, or is trained
elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from support.slots import CPU, ToyModel, ToyShards, ToySlot, out_of_memory
from support.trials import make_plan
from sweep.engine.packed.admission import Admission
from sweep.engine.packed.memory_budget import MemoryBudget
from sweep.engine.packed.pack import Pack, PackKey
from sweep.engine.packed.trial_queue import TrialQueue
from sweep.model.features import NotPackable
from sweep.records.trial import Failed, FailureReason, Outcome, Step, TrialPlan, Verdict

FULL = {"method": "full"}
HEAD = {"method": "head"}


def plan(number: int, base: str = "a", **sections: Any) -> TrialPlan:
    return make_plan(Path(base), number=number, **sections)


@dataclass
class World:
    """An admission whose slots and models are toys. It notes the trials that ended or trained
    alone."""

    trials: list[TrialPlan]
    slots: int = 2
    open_slot: Callable[[TrialPlan], Any] = ToySlot
    verdict: Verdict = Verdict.CONTINUE
    models: list[ToyModel] = field(default_factory=list)
    alone: list[int] = field(default_factory=list)
    ended: dict[int, Outcome] = field(default_factory=dict)
    asked: int = 0

    def __post_init__(self) -> None:
        queue = TrialQueue(self._next, lambda trial, outcome: self.ended.update({trial.number: outcome}))
        shards: Any = ToyShards(lambda *_: [])
        self.pack = Pack(CPU, MemoryBudget(CPU, self.slots, 1), shards, self._make_model)
        self.admission = Admission(
            self.pack, queue, self._on_step, self.open_slot, self._key_of, self._train_alone, announce=True
        )

    @property
    def open(self) -> list[int]:
        return [slot.plan.number for slot in self.pack.slots]

    @property
    def deferred(self) -> list[int]:
        return [trial.number for trial in self.admission.deferred]

    def end(self, *numbers: int) -> None:
        """Close the slots of these trials."""
        for slot in [slot for slot in self.pack.slots if slot.plan.number in numbers]:
            self.pack.slots.remove(slot)
            self.admission.queue.close(slot)

    def fill(self) -> None:
        self.admission.fill()

    def _next(self) -> TrialPlan | None:
        self.asked += 1
        return self.trials.pop(0) if self.trials else None

    def _make_model(self, *_: Any) -> Any:
        self.models.append(ToyModel())
        return self.models[-1]

    def _key_of(self, settings: Any) -> PackKey:
        return PackKey(settings.model.path, settings.trainer.in_bf16, settings.trainer.gradient_checkpointing)

    def _train_alone(self, trial: TrialPlan) -> None:
        self.alone.append(trial.number)
        self.admission.queue.end(trial, ToySlot(trial).outcome())

    def _on_step(self, _: TrialPlan, step: Step) -> Verdict:
        assert step.step == 0
        return self.verdict


def test_as_many_trials_are_admitted_as_there_are_slots() -> None:
    world = World([plan(number) for number in range(4)])
    world.fill()
    assert (world.open, len(world.models), len(world.models[0].admitted)) == ([0, 1], 1, 2)
    world.end(0)
    world.fill()
    assert (world.open, len(world.models)) == ([1, 2], 1)


def test_a_study_without_a_further_trial_is_asked_again_before_each_step() -> None:
    """Another worker may have lost a trial meanwhile."""
    world = World([plan(0)], slots=3)
    world.fill()
    assert (world.open, world.asked) == ([0], 2)
    world.trials.append(plan(1))
    world.fill()
    assert (world.open, world.asked) == ([0, 1], 4)


@pytest.mark.parametrize(
    "other",
    [plan(1, "b"), plan(1, trainer={"bf16": True}), plan(1, trainer={"gradient_checkpointing": True})],
    ids=["base", "bf16", "checkpointing"],
)
def test_a_trial_with_another_key_is_deferred_until_the_pack_is_empty(other: TrialPlan) -> None:
    world = World([plan(0), other, plan(2)], slots=3)
    world.fill()
    assert (world.open, world.deferred) == ([0, 2], [1])
    world.end(0, 2)
    world.fill()
    assert (world.open, world.deferred) == ([1], [])
    assert [len(model.admitted) for model in world.models] == [2, 1]


def test_deferred_trials_on_different_bases_are_admitted_one_base_after_the_other() -> None:
    world = World([plan(0, "a"), plan(1, "b"), plan(2, "c"), plan(3, "b")], slots=4)
    world.fill()
    assert (world.open, world.deferred) == ([0], [1, 2, 3])
    world.end(0)
    world.fill()
    assert (world.open, world.deferred) == ([1, 3], [2])
    world.end(1, 3)
    world.fill()
    assert (world.open, world.deferred) == ([2], [])


def test_a_deferred_trial_keeps_its_slot_and_is_overtaken_by_no_more_trials_than_slots() -> None:
    world = World([plan(0), plan(1, adapter=FULL), *(plan(number) for number in range(2, 9))], slots=3)
    for _ in range(4):
        world.fill()
        assert len(world.open) + len(world.deferred) <= 3
        world.end(*world.open[:1])
    assert world.alone == []
    assert sorted(world.ended) == [0, 2, 3, 4]  # three were admitted before the deferred one
    world.fill()
    assert world.alone == [1]


def test_a_head_on_the_base_of_the_pack_is_trained_at_once() -> None:
    world = World([plan(0), plan(1, adapter=HEAD), plan(2, "b", adapter=HEAD), plan(3)], slots=3)
    world.fill()
    assert (world.alone, world.open, world.deferred) == ([1], [0, 3], [2])
    world.end(0, 3)
    world.fill()
    assert world.alone == [1, 2]
    assert world.pack.key is None  # the other base was released


def test_a_trial_that_does_not_fit_beside_others_is_deferred_and_none_follows() -> None:
    world = World([plan(number) for number in range(4)], slots=4)
    admission: Any = world.admission
    admission.open_slot = lambda trial: out_of_memory() if trial.number == 1 and world.open else ToySlot(trial)
    world.fill()
    assert (world.open, world.deferred) == ([0], [1])
    world.end(0)
    world.fill()
    assert (world.open, world.deferred) == ([1, 2, 3], [])


def test_a_trial_that_does_not_fit_alone_fails() -> None:
    world = World([plan(0), plan(1)], slots=2)
    admission: Any = world.admission
    admission.open_slot = lambda trial: ToySlot(trial) if trial.number else out_of_memory()
    world.fill()
    failed = world.ended[0]
    assert isinstance(failed, Failed) and failed.reason is FailureReason.OUT_OF_MEMORY
    assert failed.message == "while loading the model: out of memory: a toy has none"
    assert world.open == [1]


@pytest.mark.parametrize(
    ("error", "said"),
    [(NotPackable("a bias beside LoRA"), "a bias beside LoRA"), (TypeError("one row\nonly"), "TypeError: one row")],
)
def test_a_model_that_cannot_be_packed_goes_to_the_trainer_with_the_reason(
    error: Exception, said: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.engine.packed.admission.unwrapped", lambda model: model)

    def refuse(_: Any) -> None:
        raise error

    world = World([plan(0), plan(1), plan(2)], slots=2)
    world.fill()
    world.models[0].refuse = refuse
    world.end(0)
    world.fill()
    assert (world.open, world.deferred) == ([1], [2])  # beside another it is deferred
    pack: Any = world.pack
    pack.make_model = lambda *_: ToyModel(refuse=refuse)
    world.end(1)
    world.fill()
    assert (world.alone, world.open, world.deferred) == ([2], [], [])
    assert f"{said}: the Trainer trains it" in caplog.text
    world.trials.append(plan(2))  # it made way, and goes on with the Trainer
    world.admission.open_slot = lambda _: pytest.fail("its slot is opened again")
    world.fill()
    assert world.alone == [2, 2]


def test_our_own_mistakes_are_raised() -> None:
    def break_down(_: TrialPlan) -> Any:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        World([plan(0)], open_slot=break_down).fill()


def test_a_trial_that_the_study_has_stopped_is_ended_without_its_model() -> None:
    world = World([plan(0, adapter=FULL)], verdict=Verdict.INTERRUPT)
    world.fill()
    ended = world.ended[0]
    assert isinstance(ended, Failed) and ended.reason is FailureReason.INTERRUPTED
    assert (world.alone, ended.cost.seconds) == ([], 0.0)


def test_a_trial_that_was_stopped_while_its_slot_was_opened_is_closed() -> None:
    slots: list[ToySlot] = []

    def open_stopped(trial: TrialPlan) -> ToySlot:
        slots.append(ToySlot(trial, steps=0))
        return slots[-1]

    world = World([plan(0)], open_slot=open_stopped)
    world.fill()
    assert (world.open, list(world.ended), slots[0].closed, world.models) == ([], [0], True, [])


def needing(number: int, memory: float) -> TrialPlan:
    return replace(plan(number), memory=memory)


def test_trials_enter_as_far_as_memory_is_predicted_to_hold_them() -> None:
    world = World([needing(0, 0.5), needing(1, 0.4), needing(2, 0.3), needing(3, 0.1)], slots=4)
    world.fill()
    assert (world.open, world.deferred) == ([0, 1, 3], [2])
    world.end(0)
    world.fill()
    assert (world.open, world.deferred) == ([1, 3, 2], [])


def test_a_trial_that_needs_all_memory_is_alone_and_waits_no_longer_than_others() -> None:
    world = World([needing(0, 0.2), needing(1, 1.5), *(needing(number, 0.2) for number in range(2, 9))], slots=3)
    for _ in range(4):
        world.fill()
        assert 1 not in world.open
        world.end(*world.open[:1])
    world.end(*world.open)
    world.fill()
    assert world.open == [1] and world.trials
