"""Every adapter method that has a packed kernel, with all of its options, against the Trainer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.packable import tiny
from support.packs import CLOSE, assert_alike, both, one_by_one, packed, repeated, steady_plan
from sweep.data.tokenise import TokenisedData
from sweep.engine.packed.loop_choice import choose_loop
from sweep.records.trial import TrialPlan

Plan = Callable[..., TrialPlan]
DORA = {"method": "dora", "lora_dropout": 0.0}

OPTIONS: list[dict[str, Any]] = [
    {"adapter": {"init": "gaussian"}},
    {"adapter": {"init": "orthogonal", "r": 4}},
    {"adapter": {"init": "eva", "r": 4}},
    {"adapter": {"rank_pattern": {"query": 2, "layer.1.attention.self.value": 12}, "alpha_pattern": {"value": 4.0}}},
    {"adapter": {"layers_to_transform": (1,)}},
    {"adapter": {"layers_to_transform": (0,), "target_modules": "all-linear"}},
    {"adapter": {"target_modules": ("query", "dense"), "exclude_modules": ("output.dense",)}},
    {"adapter": {"lr_ratio": 16.0}, "optimizer": {"learning_rate": 1e-3, "weight_decay": 0.1, "warmup_steps": 3}},
    {"adapter": {"lr_ratio": 4.0}, "optimizer": {"name": "sgd", "lr_scheduler_type": "cosine"}},
    {"adapter": DORA},
    {"adapter": {**DORA, "r": 3, "use_rslora": True, "target_modules": "all-linear", "lr_ratio": 2.0}},
    {"adapter": {**DORA, "init": "orthogonal", "layers_to_transform": (1,)}},
    {"adapter": {**DORA, "init": "eva", "alpha_pattern": {"query": 2.0}}},
]


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("sections", OPTIONS, ids=str)
def test_every_option_means_what_it_means_to_the_trainer(
    trial: Plan, data: TokenisedData, tmp_path: Path, sections: dict[str, Any]
) -> None:
    """Beside a plain LoRA trial, that ends before it."""
    mate = trial(1, trainer={"per_device_train_batch_size": 10, "num_train_epochs": 1, "seed": 1}, adapter={"r": 4})
    found, expected = both(trial(0, **sections), mate, data=data, folder=tmp_path)
    assert_alike(found, expected)
    assert found.outcome(0).cost.engine == "packed"


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_dora_on_other_layers(architecture: str, data: TokenisedData, tmp_path: Path) -> None:
    """GPT-2's layers keep their weights as (in, out), Llama's have no bias."""
    folder = tiny(architecture, tmp_path / "model", labels=data.splits.labels.names)
    trials = [
        steady_plan(folder, 0, adapter=DORA),
        steady_plan(folder, 1, adapter={"r": 4}, trainer={"seed": 1}),
        steady_plan(folder, 2, adapter={"method": "ia3"}, trainer={"seed": 2}),
    ]
    assert_alike(*both(*trials, data=data, folder=tmp_path))


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_dora_with_dropout_repeats_its_numbers(architecture: str, data: TokenisedData, tmp_path: Path) -> None:
    """The base's product is of what the adapter's dropout leaves, for the trial that drops
    alone."""
    folder = tiny(architecture, tmp_path / "model", dropout=0.3)
    trials = [
        steady_plan(folder, 0, adapter={"method": "dora", "lora_dropout": 0.2}),
        steady_plan(folder, 1, adapter=DORA, trainer={"seed": 1}),
        steady_plan(folder, 2, adapter={"lora_dropout": 0.4, "r": 4}, trainer={"seed": 2}),
    ]
    found = packed(*trials, data=data)
    assert_alike(found, repeated(*trials, data=data), weights=False)
    assert {found.outcome(number).cost.engine for number in range(3)} == {"packed"}


def test_dora_in_single_precision(trial: Plan, data: TokenisedData, tmp_path: Path) -> None:
    found, expected = both(trial(0, adapter=DORA), trial(1), data=data, folder=tmp_path)
    assert_alike(found, expected, 10 * CLOSE, weights=False)


def test_dora_over_a_base_in_four_bits(trial: Plan, data: TokenisedData, tmp_path: Path) -> None:
    bits = {**DORA, "quantization": "nf4", "compute_dtype": "float32"}
    found, expected = both(trial(0, adapter=bits), data=data, folder=tmp_path)
    assert_alike(found, expected, 10 * CLOSE, weights=False)
    assert found.outcome(0).cost.engine == "packed"


@pytest.mark.usefixtures("in_double")
def test_dora_with_layers_that_are_computed_again(trial: Plan, data: TokenisedData, tmp_path: Path) -> None:
    again = trial(0, adapter=DORA, trainer={"gradient_checkpointing": True})
    assert_alike(*both(again, data=data, folder=tmp_path))


def test_a_trial_that_reads_rows_repeats_its_numbers(trial: Plan, data: TokenisedData, tmp_path: Path) -> None:
    """Its passes over the base are part of its cost."""
    eva = trial(0, adapter={"init": "eva"})
    first = packed(eva, data=data, folder=tmp_path / "a")
    again = packed(eva, data=data, folder=tmp_path / "b")
    assert first.events(0) == again.events(0)
    plain = packed(trial(1), data=data, folder=tmp_path / "c")
    assert first.losses(0) != plain.losses(1)
    assert first.outcome(0).cost.flops > plain.outcome(1).cost.flops > 0


def test_learning_rates_are_logged_as_configured(trial: Plan, data: TokenisedData, tmp_path: Path) -> None:
    ratio = {"adapter": {"lr_ratio": 16.0}, "optimizer": {"learning_rate": 1e-3, "lr_scheduler_type": "constant"}}
    for run in both(trial(0, **ratio), data=data, folder=tmp_path):
        assert {step.metrics["train/learning_rate"] for step in run.steps(0)} == {1e-3}


def test_a_method_without_a_kernel_is_left_to_the_trainer(trial: Plan, data: TokenisedData, tmp_path: Path) -> None:
    vera = trial(0, adapter={"method": "peft", "peft_type": "vera", "options": {"r": 8}})
    assert choose_loop(vera.settings).reason == "adapter.method peft has no packed kernel"
    found = packed(vera, trial(1), data=data, folder=tmp_path / "packed")
    assert (found.outcome(0).cost.engine, found.outcome(1).cost.engine) == ("trainer", "packed")
    assert_alike(found, one_by_one(vera, trial(1), data=data, folder=tmp_path / "trainer"), CLOSE, numbers=[0])
