"""A trial that is put away and taken up ends as one that never stopped, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from support.snapshots import Stopping, comparable, training
from support.trials import make_plan
from sweep.data.tokenise import TokenisedData
from sweep.engine.snapshot import NotSnapshottable, decode, encode
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.snapshot import BrokenSnapshotError, Snapshot

CPU = torch.device("cpu")


def test_a_state_comes_back_as_it_was() -> None:
    shared = torch.arange(3.0).to(torch.bfloat16)
    state = {
        "a": [1, 2.5, None, "x", True], 3: (torch.tensor(7), {"b": shared}), "again": shared, "nan": float("inf"),
        "view": torch.arange(6).view(2, 3).t(),
    }  # fmt: skip
    snapshot = encode(state, 12)
    found = decode(snapshot, CPU)
    assert snapshot.step == 12
    assert (found["a"], found["nan"]) == (state["a"], float("inf"))
    assert found[3][0].item() == 7 and found[3][1]["b"] is found["again"]  # type: ignore[index]
    assert found["again"].dtype == torch.bfloat16 and torch.equal(found["again"], shared)
    assert torch.equal(found["view"], state["view"])  # type: ignore[arg-type]


def test_a_state_with_any_other_object_is_refused_by_its_place() -> None:
    with pytest.raises(NotSnapshottable, match=r"state\.optimizer\.0 is of type object"):
        encode({"optimizer": [object()]}, 1)


class OwnTensor(torch.Tensor):
    """As packages make them that keep moments in few bits."""


@pytest.mark.parametrize(
    ("value", "kind"),
    [(torch.ones(2).as_subclass(OwnTensor), "OwnTensor"), ({torch.nn.Parameter(torch.ones(1)): 1}, "dict")],
    ids=["subclass", "key"],
)
def test_tensors_that_would_come_back_as_others_are_refused(value: Any, kind: str) -> None:
    with pytest.raises(NotSnapshottable, match=rf"state\.a is of type {kind}"):
        encode({"a": value}, 1)


@pytest.mark.parametrize("data", [b"", b"abc", encode({}, 1).data[:-1], encode({"a": torch.ones(9)}, 1).data[:-8]])
def test_a_cut_snapshot_is_broken(data: bytes) -> None:
    with pytest.raises(BrokenSnapshotError):
        decode(Snapshot(data), CPU)


HEAD: dict[str, Any] = {"adapter": {"method": "head"}}


@pytest.mark.parametrize("stop_at", [1, 4, 5, 7, 10])
@pytest.mark.parametrize("strategy", ["group_by_length", "random"])
def test_a_head_goes_on_from_a_snapshot_bit_for_bit(
    data: TokenisedData, model_dir: Path, stop_at: int, strategy: str
) -> None:
    sections = {**HEAD, "study": {"snapshot_every": 0.0}, "trainer": {"train_sampling_strategy": strategy}}
    plan = make_plan(model_dir, **sections)
    whole, stopping = Stopping(), Stopping(stop_at)
    whole.run(plan, base_models=BaseModelCache("cpu"), data=data)
    stopping.run(plan, base_models=BaseModelCache("cpu"), data=data)
    again = Stopping()
    again.run(replace(plan, snapshot=stopping.snapshots[-1]), base_models=BaseModelCache("cpu"), data=data)
    assert stopping.snapshots[-1].step == stop_at
    assert training(stopping) + training(again) == training(whole)
    assert comparable(again.outcomes[-1]) == comparable(whole.outcomes[-1])
