"""One step of a pack with toy slots: batches, evaluations that are due, ends, and passes that
memory does not hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from support.slots import CPU, ToyModel, ToyShards, ToySlot, ToyTable, out_of_memory
from support.trials import make_plan
from sweep.engine.packed.memory_budget import MemoryBudget
from sweep.engine.packed.out_of_memory import OutOfMemoryRecovery
from sweep.engine.packed.pack import Pack
from sweep.engine.packed.pack_step import PackStep
from sweep.engine.packed.trial_queue import TrialQueue
from sweep.records.trial import FailureReason


def slot(number: int, **values: Any) -> Any:
    return ToySlot(make_plan(Path("base"), number=number), **values)


def passes(kind: str, part: Sequence[Any]) -> list[Any]:
    if kind == "train":
        return [(torch.tensor(1.0), None) for _ in part]
    return [torch.tensor([[float(one.plan.number)]]) for one in part]


class Steps:
    def __init__(self, *slots: Any, run_part: Callable[[str, Sequence[Any]], list[Any]] = passes) -> None:
        self.shards, self.model, self.ended = ToyShards(run_part), ToyModel(), list[int]()
        shards, model = self.shards, self.model
        budget = MemoryBudget(CPU, 8, 1)
        self.pack = Pack(CPU, budget, shards, lambda *_: model, [*slots], [model])  # type: ignore[arg-type,list-item,return-value]
        queue = TrialQueue(lambda: None, lambda trial, _: self.ended.append(trial.number))
        self.step = PackStep(self.pack, queue, OutOfMemoryRecovery(budget, self.pack.reclaim))

    @property
    def open(self) -> list[int]:
        return [one.plan.number for one in self.pack.slots]


def test_every_trial_takes_a_batch_and_those_that_finish_leave() -> None:
    steps = Steps(slot(0, steps=1), slot(1, steps=2))
    steps.step.run()
    assert steps.shards.asked == [("train", [0, 1])]
    assert (steps.open, steps.ended) == ([1], [0])
    steps.step.run()
    assert (steps.open, steps.ended) == ([], [0, 1])


def test_trials_are_evaluated_when_they_are_due_and_with_those_that_read_the_same_rows() -> None:
    shared, own = ToyTable(), ToyTable()
    slots = [
        slot(0, steps=3, due=[1], validation=shared), slot(1, steps=3, due=[2], validation=shared),
        slot(2, steps=3, due=[1], validation=own), slot(3, steps=3, due=[1, 2], validation=shared),
    ]  # fmt: skip
    steps = Steps(*slots)
    steps.step.run()
    assert steps.shards.asked[1:] == [("score", [0, 3]), ("score", [2])]
    steps.step.run()
    assert steps.shards.asked[3:] == [("train", [0, 1, 2, 3]), ("score", [1, 3])]
    assert [one.scores for one in slots] == [[0.0], [1.0], [2.0], [3.0, 3.0]]


def test_the_last_evaluation_comes_before_the_end() -> None:
    only = slot(0, steps=1, due=[1])
    steps = Steps(only)
    steps.step.run()
    assert (only.scores, only.closed, steps.ended) == ([0.0], True, [0])


def test_seconds_are_charged_by_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0.0, 8.0])
    monkeypatch.setattr("sweep.engine.clock.time.perf_counter", lambda: next(moments, 8.0))
    one, other = slot(0, steps=2, batch_tokens=30), slot(1, steps=2, batch_tokens=10)
    Steps(one, other).step.run()
    assert (one.clock.trained, other.clock.trained) == (6.0, 2.0)


def test_a_pass_that_memory_does_not_hold_goes_again_in_smaller_parts() -> None:
    def run_part(kind: str, part: Sequence[Any]) -> list[Any]:
        return out_of_memory() if kind == "train" and len(part) > 1 else passes(kind, part)

    slots = [slot(number, steps=2, due=[1] if number == 2 else []) for number in range(3)]
    steps = Steps(*slots, run_part=run_part)
    steps.step.run()
    assert steps.shards.asked == [
        ("train", [0, 1, 2]), ("train", [0]), ("train", [1]), ("train", [2]), ("score", [2]),
    ]  # fmt: skip
    assert ([one.batches for one in slots], steps.model.released, steps.open) == ([1, 1, 1], 1, [0, 1, 2])


def test_a_trial_that_memory_does_not_hold_fails_alone() -> None:
    def run_part(kind: str, part: Sequence[Any]) -> list[Any]:
        return out_of_memory() if any(one.plan.number == 1 for one in part) else passes(kind, part)

    slots = [slot(number, steps=2) for number in range(3)]
    steps = Steps(*slots, run_part=run_part)
    steps.step.run()
    assert [one.batches for one in slots] == [1, 0, 1]
    assert slots[1].failures == [(FailureReason.OUT_OF_MEMORY, "out of memory: a toy has none")]
    assert (steps.open, steps.ended) == ([0, 2], [1])


def test_an_optimizer_without_memory_fails_its_trial_alone() -> None:
    def run_part(kind: str, part: Sequence[Any]) -> list[Any]:
        error = torch.OutOfMemoryError("out of memory")
        return [(torch.tensor(1.0), error if one.plan.number == 0 else None) for one in part]

    slots = [slot(0, steps=2), slot(1, steps=2)]
    steps = Steps(*slots, run_part=run_part)
    steps.step.run()
    assert [one.batches for one in slots] == [0, 1]
    assert (steps.open, steps.ended) == ([1], [0])


def test_an_evaluation_that_memory_does_not_hold_goes_again() -> None:
    def run_part(kind: str, part: Sequence[Any]) -> list[Any]:
        return out_of_memory() if kind == "score" and len(part) > 1 else passes(kind, part)

    table = ToyTable((600,))
    slots = [slot(number, steps=2, due=[1], validation=table) for number in range(2)]
    steps = Steps(*slots, run_part=run_part)
    steps.step.run()
    asked = [part for kind, part in steps.shards.asked if kind == "score"]
    assert asked == [[0, 1], [0, 1], [0], [1]]  # all tokens, half of them, slot by slot
    assert [one.scores for one in slots] == [[0.0], [1.0]]


def test_our_own_mistakes_are_raised() -> None:
    def run_part(kind: str, part: Sequence[Any]) -> list[Any]:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        Steps(slot(0), run_part=run_part).step.run()


def test_an_evaluation_that_waits_comes_before_the_next_batch() -> None:
    waiting, other = slot(0, steps=3, evaluation_due=True), slot(1, steps=3)
    steps = Steps(waiting, other)
    steps.step.run()
    steps.step.run()
    assert steps.shards.asked == [("score", [0]), ("train", [0, 1])]


def test_snapshots_are_offered_after_evaluations_and_before_a_trial_is_closed() -> None:
    order: list[str] = []

    class Noting(ToySlot):
        def on_scores(self, scores: Any, *, started: float) -> None:
            order.append("evaluated")
            super().on_scores(scores, started=started)

        def offer_snapshot(self) -> None:
            order.append("offered")

        def close(self) -> None:
            order.append("closed")

    Steps(Noting(make_plan(Path("base")), steps=1, due=[1])).step.run()
    assert order == ["evaluated", "offered", "closed"]


def test_the_study_is_asked_while_an_evaluation_runs_and_a_trial_that_it_stops_is_left_out() -> None:
    """The validation split takes three passes. One trial is interrupted after the first; the study
    is asked about the other one at once."""

    class Interrupted(ToySlot):
        def ask(self, *, unheard: float) -> None:
            super().ask(unheard=unheard)
            if steps.shards.asked[-1][0] == "score":
                self.state.interrupted, self.evaluation_due = True, False

    plans = [make_plan(Path("base"), number=number) for number in range(2)]
    table = ToyTable((600, 600, 600))
    stopped = Interrupted(plans[0], steps=2, due=[1], validation=table)
    other = ToySlot(plans[1], steps=2, due=[1], validation=table)
    steps = Steps(stopped, other)
    steps.step.run()
    assert [kind for kind, _ in steps.shards.asked] == ["train", "score", "score", "score"]
    assert (stopped.scores, other.scores) == ([], [1.0])
    assert other.asked[0] > 0.0  # where the study was silent for long
    assert other.asked[2] == 0.0  # at once
