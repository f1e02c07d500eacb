"""The number of trials that fit, and the division of a pass over them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from support.slots import CPU, ToySlot
from support.trials import make_plan
from sweep.engine import memory
from sweep.engine.packed.memory_budget import MemoryBudget


def toys(*weights: int) -> list[Any]:
    return [ToySlot(make_plan(Path("base"), number=number), batch_tokens=one) for number, one in enumerate(weights)]


def numbers(budget: MemoryBudget, slots: list[Any]) -> list[list[int]]:
    parts = budget.parts(slots, [slot.batch_tokens for slot in slots])
    return [[cast(Any, slot).plan.number for slot in part] for part in parts]


def test_one_shard_takes_all_slots_at_once() -> None:
    assert numbers(MemoryBudget(CPU, 8, 1), toys(3, 9, 5)) == [[1, 2, 0]]


def test_shards_get_parts_of_like_weight() -> None:
    assert numbers(MemoryBudget(CPU, 8, 2), toys(8, 1, 2, 7)) == [[0, 1], [3, 2]]
    assert numbers(MemoryBudget(CPU, 8, 4), toys(1, 1)) == [[0], [1]]


def test_a_budget_that_shrank_divides_a_pass_further() -> None:
    budget = MemoryBudget(CPU, 8, 2)
    budget.shrink(2)
    assert (budget.at_once, budget.shards) == (2, 2)
    assert [len(part) for part in numbers(budget, toys(1, 1, 1, 1, 1))] == [1] * 5
    budget.shrink(0)
    assert (budget.at_once, budget.shards) == (1, 1)


def test_an_evaluation_shrinks_until_a_pass_holds_one_row() -> None:
    budget = MemoryBudget(CPU, 8, 1)
    halvings = 0
    while budget.shrink_evaluation(longest=100):
        halvings += 1
    assert (halvings, budget.eval_tokens) == (4, 64)


def test_the_config_decides_the_slots_unless_it_says_auto() -> None:
    assert MemoryBudget(CPU, 5, 1).slots == 5
    assert [MemoryBudget(CPU, "auto", 1, fitting=fitting).slots for fitting in (1, 4, 100)] == [1, 4, 8]


def test_under_auto_the_first_step_tells_how_many_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of 10 tokens took 1,000 bytes; the largest batch has 40, and a trial keeps 500 bytes:
    4,500 bytes each."""
    (slot,) = toys(10)
    slot.train, slot.bytes = type("Rows", (), {"lengths": [2, 5]})(), 500
    values = {"reset_peaks": None, "in_use": 7_000, "peak": 8_000, "free": 5 * 4_500 / 0.8}
    for name, value in values.items():
        monkeypatch.setattr(memory, name, lambda _device, *_workers, value=value: value)
    budget = MemoryBudget(CPU, "auto", 1)
    with budget.measured([slot]):
        pass
    assert budget.fitting == 6  # five more beside the first
    monkeypatch.setattr(memory, "peak", lambda _: pytest.fail("measured twice"))
    with budget.measured([slot]):
        pass


def test_workers_of_a_host_do_not_count_its_memory_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    (slot,) = toys(10)
    slot.plan, slot.train, slot.bytes = replace(slot.plan, workers=3), SimpleNamespace(lengths=[5]), 0
    values = {"reset_peaks": None, "in_use": 0, "peak": 1_000}
    for name, value in values.items():
        monkeypatch.setattr(memory, name, lambda _device, value=value: value)
    monkeypatch.setattr(memory, "free", lambda _device, workers: 90_000 / workers)
    budget = MemoryBudget(CPU, "auto", 1)
    with budget.measured([slot]):
        pass
    assert budget.fitting == 1 + int(30_000 * 0.8 / 4_000)


@pytest.mark.parametrize(
    ("together", "fitting", "slots"), [(1, 6, 6), (5, 3, 3), (5, 8, 5), (5, 40, 5), (3, 40, 6), (10, 40, 10)]
)
def test_automatic_slots_are_whole_trials_of_folds(together: int, fitting: int, slots: int) -> None:
    assert MemoryBudget(CPU, "auto", 1, together, fitting=fitting).slots == slots
    assert MemoryBudget(CPU, 4, 1, together, fitting=fitting).slots == 4
