"""Parts of a pack in threads of their own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest
import torch

from sweep.engine.packed.cpu_shards import CpuShards

CPU = torch.device("cpu")


@pytest.fixture
def two_threads() -> Iterator[None]:
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def named(model: Any, part: Any) -> tuple[Any, Any, str]:
    return model, part, threading.current_thread().name


def run(shards: CpuShards, work: Any, models: list[str], parts: list[str]) -> list[Any]:
    return shards.run(work, cast(Any, models), cast(Any, parts))


def test_one_core_needs_no_thread() -> None:
    with CpuShards.open(CPU) as shards:
        assert (shards.count, shards.pool) == (1, None)
        found = run(shards, named, ["model"], ["a", "b"])
    assert [(part, done[:2]) for part, done in found] == [("a", ("model", "a")), ("b", ("model", "b"))]
    assert {done[2] for _, done in found} == {threading.current_thread().name}


@pytest.mark.usefixtures("two_threads")
def test_parts_go_to_the_shards_in_turn_and_come_back_in_order() -> None:
    with CpuShards.open(CPU) as shards:
        assert shards.count == 2
        found = run(shards, named, ["first", "second"], ["a", "b", "c"])
    assert [done[:2] for _, done in found] == [("first", "a"), ("second", "b"), ("first", "c")]
    assert all(done[2].startswith("shard") for _, done in found)
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_an_error_of_memory_is_returned_and_any_other_raised() -> None:
    def work(_model: Any, part: str) -> str:
        if part == "large":
            raise torch.OutOfMemoryError("out of memory")
        if part == "wrong":
            raise KeyError(part)
        return part.upper()

    with CpuShards.open(CPU) as shards:
        found = run(shards, work, ["first", "second"], ["small", "large", "other"])
        assert [part for part, _ in found] == ["small", "large", "other"]
        assert (found[0][1], found[2][1]) == ("SMALL", "OTHER")
        assert isinstance(found[1][1], torch.OutOfMemoryError)
        with pytest.raises(KeyError, match="wrong"):
            run(shards, work, ["first", "second"], ["small", "wrong"])


@pytest.mark.usefixtures("two_threads")
def test_a_budget_of_one_model_runs_all_parts_with_it() -> None:
    with CpuShards.open(CPU) as shards:
        found = run(shards, named, ["only"], ["a", "b", "c"])
    assert [done[:2] for _, done in found] == [("only", "a"), ("only", "b"), ("only", "c")]
