"""Recovery from running out of memory: smaller parts, then one trial alone, then its failure."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from support.slots import CPU, ToySlot, ToyTable
from support.trials import make_plan
from sweep.engine.packed.memory_budget import MemoryBudget
from sweep.engine.packed.out_of_memory import OutOfMemoryRecovery
from sweep.records.trial import FailureReason

ERROR = torch.OutOfMemoryError("out of memory: 3 GiB\nmore")
FAILED = [(FailureReason.OUT_OF_MEMORY, "out of memory: 3 GiB")]


@dataclass
class Retries:
    """Notes the slots of each retry, and the times that memory was reclaimed."""

    budget: MemoryBudget
    asked: list[list[int]] = field(default_factory=list)
    reclaimed: int = 0

    @property
    def recovery(self) -> OutOfMemoryRecovery:
        return OutOfMemoryRecovery(self.budget, self.reclaim)

    def reclaim(self) -> None:
        self.reclaimed += 1

    def train(self, slots: Any) -> list[int]:
        self.asked.append([slot.plan.number for slot in slots])
        return self.asked[-1]

    def evaluate(self, slots: Any) -> None:
        self.train(slots)


def toys(count: int, longest: int = 4) -> list[Any]:
    table = ToyTable((longest,))
    return [ToySlot(make_plan(Path("base"), number=number), validation=table) for number in range(count)]


def test_training_goes_on_with_half_the_slots_in_a_pass() -> None:
    retries, slots = Retries(MemoryBudget(CPU, 8, 2)), toys(4)
    assert retries.recovery.retry_training(slots, ERROR, retries.train) == [0, 1, 2, 3]
    assert (retries.budget.at_once, retries.budget.shards, retries.reclaimed) == (2, 2, 1)
    assert not any(slot.failures for slot in slots)


def test_a_single_slot_is_tried_without_other_shards_before_it_fails() -> None:
    retries, (slot,) = Retries(MemoryBudget(CPU, 8, 2)), toys(1)
    assert retries.recovery.retry_training([slot], ERROR, retries.train) == [0]
    assert (retries.budget.shards, slot.failures) == (1, [])
    assert retries.recovery.retry_training([slot], ERROR, retries.train) == []
    assert slot.failures == FAILED
    assert retries.asked == [[0]]


def test_an_evaluation_takes_fewer_tokens_then_slot_by_slot_then_fails() -> None:
    retries, slots = Retries(MemoryBudget(CPU, 8, 1)), toys(2, longest=600)
    recovery = retries.recovery
    recovery.retry_evaluation(slots, ERROR, retries.evaluate)
    assert (retries.budget.eval_tokens, retries.asked) == (512, [[0, 1]])
    recovery.retry_evaluation(slots, ERROR, retries.evaluate)
    assert retries.asked[1:] == [[0], [1]]
    recovery.retry_evaluation(slots[:1], ERROR, retries.evaluate)
    assert slots[0].failures == FAILED
    assert slots[1].failures == []


def test_an_optimizer_without_memory_fails_its_trial() -> None:
    retries, (slot, other) = Retries(MemoryBudget(CPU, 8, 1)), toys(2)
    retries.recovery.fail_step(slot, ERROR)
    assert (slot.failures, other.failures, retries.reclaimed) == (FAILED, [], 1)


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), ValueError("out of memory")])
def test_any_other_error_is_raised(error: BaseException) -> None:
    retries, (slot,) = Retries(MemoryBudget(CPU, 8, 1)), toys(1)
    with pytest.raises(type(error)):
        retries.recovery.retry_training([slot], error, retries.train)
    with pytest.raises(type(error)):
        retries.recovery.retry_evaluation([slot], error, retries.evaluate)
    with pytest.raises(type(error)):
        retries.recovery.fail_step(slot, error)
    assert (slot.failures, retries.reclaimed) == ([], 0)
