"""A packed trial trained again by the Trainer, with its dropout: step by step to rounding."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from packs import EXACT, PACKABLE, packed, steady_plan, tiny
from sweep.data.tokenise import TokenisedData
from sweep.model.bench import Bench
from sweep.model.packed.layout import Layout
from sweep.model.packed.noise import Counted
from sweep.records import EvalPoint, Step, TrialPlan, Verdict
from sweep.train.trial import trained

HEAVY = 0.3


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Masks are drawn as on a GPU."""
    found = cached_property(lambda layout: Counted(layout.keys, layout) if layout.noise else None)
    found.__set_name__(Layout, "draws")
    monkeypatch.setattr(Layout, "draws", found)


def again(trial: TrialPlan, data: TokenisedData, *, as_packed: bool = True) -> list[Step | EvalPoint]:
    events: list[Step | EvalPoint] = []

    def hear(event: Any) -> Verdict:
        events.append(event)
        return Verdict.CONTINUE

    with trained(trial, bench=Bench("cpu"), data=data, on_step=hear, on_eval=hear, as_packed=as_packed):
        pass
    return [event for event in events if event.step]


def shaky(model: Path, number: int = 0, **sections: Any) -> TrialPlan:
    trainer = {"num_train_epochs": 3, "seed": 3, **sections.pop("trainer", {})}
    adapter = {"lora_dropout": 0.2, "r": 4, **sections.pop("adapter", {})}
    return steady_plan(model, number, adapter=adapter, trainer=trainer, **sections)


def assert_repeated(trials: list[TrialPlan], data: TokenisedData) -> None:
    """In a pack with others beside it, and alone by the Trainer."""
    run = packed(*trials, data=data)
    for trial in trials:
        assert run.outcome(trial.number).cost.engine == "packed"
        ours, theirs = run.events(trial.number), again(trial, data)
        assert len(ours) == len(theirs)
        for event, other in zip(ours, theirs, strict=True):
            assert event.metrics == pytest.approx(other.metrics, rel=EXACT, abs=EXACT), f"{trial.number}: {event.step}"


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ("bert", "gpt2") else pytest.mark.slow) for name in PACKABLE]
)
def test_in_double_precision(data: TokenisedData, tmp_path: Path, name: str) -> None:
    model = tiny(name, tmp_path / name, dropout=HEAVY)
    other = {"per_device_train_batch_size": 5, "gradient_accumulation_steps": 2, "seed": 4}
    assert_repeated([shaky(model, 0), shaky(model, 1, adapter={"lora_dropout": 0.4}, trainer=other)], data)


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
    ours, theirs = packed(trial, data=data).events(0), again(trial, data, as_packed=False)
    assert ours[0].metrics["train/loss"] != pytest.approx(theirs[0].metrics["train/loss"], rel=1e-3)
