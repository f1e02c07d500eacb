"""A packed trial trained again by the Trainer, with its dropout: step by step to rounding."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from support.packable import PACKABLE, tiny
from support.packs import assert_alike, one_by_one, packed, repeated, steady_plan
from sweep.data.tokenise import TokenisedData
from sweep.engine.packed.batch import PackedBatch
from sweep.engine.packed.noise import Counted
from sweep.records.trial import TrialPlan

HEAVY = 0.3


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Masks are drawn as on a GPU."""
    found = cached_property(lambda batch: Counted(batch.keys, batch) if batch.noise else None)
    found.__set_name__(PackedBatch, "draws")
    monkeypatch.setattr(PackedBatch, "draws", found)


def shaky(model: Path, number: int = 0, **sections: Any) -> TrialPlan:
    trainer = {"num_train_epochs": 3, "seed": 3, **sections.pop("trainer", {})}
    adapter = {"lora_dropout": 0.2, "r": 4, **sections.pop("adapter", {})}
    return steady_plan(model, number, adapter=adapter, trainer=trainer, **sections)


def assert_repeated(trials: list[TrialPlan], data: TokenisedData) -> None:
    """Compare trials in one pack with each trial alone by the Trainer."""
    found = packed(*trials, data=data)
    assert_alike(found, repeated(*trials, data=data), weights=False)
    assert {found.outcome(trial.number).cost.engine for trial in trials} == {"packed"}


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ("bert", "gpt2") else pytest.mark.slow) for name in PACKABLE]
)
def test_in_double_precision(data: TokenisedData, tmp_path: Path, name: str) -> None:
    model = tiny(name, tmp_path / name, dropout=HEAVY)
    other = {"per_device_train_batch_size": 5, "gradient_accumulation_steps": 2, "seed": 4}
    all_layers = {"lora_dropout": 0.4, "target_modules": "all-linear"}  # the pooler's too, where there is one
    assert_repeated([shaky(model, 0), shaky(model, 1, adapter=all_layers, trainer=other)], data)


@pytest.mark.slow
@pytest.mark.usefixtures("in_double", "counted")
@pytest.mark.parametrize("name", PACKABLE)
def test_as_drawn_on_a_gpu(data: TokenisedData, tmp_path: Path, name: str) -> None:
    assert_repeated([shaky(tiny(name, tmp_path / name, dropout=HEAVY), adapter={"target_modules": "all-linear"})], data)


@pytest.mark.usefixtures("in_double")
def test_with_layers_that_are_computed_again(data: TokenisedData, tmp_path: Path) -> None:
    model = tiny("bert", tmp_path / "bert", dropout=HEAVY)
    assert_repeated([shaky(model, trainer={"gradient_checkpointing": True, "num_train_epochs": 1})], data)


def test_the_trainer_alone_draws_other_values(data: TokenisedData, tmp_path: Path) -> None:
    trial = shaky(tiny("bert", tmp_path / "bert", dropout=HEAVY), trainer={"num_train_epochs": 1})
    assert packed(trial, data=data).losses(0)[0] != pytest.approx(one_by_one(trial, data=data).losses(0)[0], rel=1e-3)
