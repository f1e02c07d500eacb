"""Packs with settings drawn at random, against the Trainer."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification
from transformers.pytorch_utils import Conv1D

from support.packable import PACKABLE, tiny
from support.packs import assert_alike, both, packed, repeated, steady_plan
from sweep.data.tokenise import TokenisedData
from sweep.records.trial import TrialPlan

# Adam divides by gradients that may be as small as its epsilon, which amplifies the last digits:
# the Trainer with another attention kernel differs from itself as much.
AMPLIFIED = 1e-5

HEADS = ("classifier", "pre_classifier", "score")
RIGHTWARD = tuple(name for name in PACKABLE if name not in ("bert", "roberta", "distilbert", "modernbert"))


@pytest.mark.slow
@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("seed", range(40))
def test_a_pack_drawn_at_random(seed: int, data: TokenisedData, several: TokenisedData, tmp_path: Path) -> None:
    draw = random.Random(seed)
    name = draw.choice(PACKABLE)
    model, task = tiny(name, tmp_path / name), draw.choice(["single_label"] * 3 + ["multi_label"])
    shared = {
        "model": {"path": str(model), "pooling": draw.choice([None, "mean", "last" if name in RIGHTWARD else "cls"])},
        "dataset": {"task": task},
    }
    checkpointing, layers = draw.random() < 0.2, linear_layers(model)
    trials = [trial(draw, model, number, layers, checkpointing, shared) for number in range(draw.randint(2, 5))]
    rows = several if task == "multi_label" else data
    found, expected = both(*trials, data=rows, folder=tmp_path, slots=draw.choice([2, 4]))
    assert_alike(found, expected, AMPLIFIED)
    assert {found.outcome(one.number).cost.engine for one in trials} == {"packed"}


@pytest.mark.slow
@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("seed", range(100, 130))
def test_a_pack_with_dropout_drawn_at_random(seed: int, data: TokenisedData, tmp_path: Path) -> None:
    """The Trainer repeats each trial alone over several epochs, as it retrains a winner."""
    draw = random.Random(seed)
    name = draw.choice(PACKABLE)
    model = tiny(name, tmp_path / name, dropout=draw.choice([0.0, 0.1, 0.4]))
    pooling = draw.choice([None, "mean", "last" if name in RIGHTWARD else "cls"])
    checkpointing, layers = draw.random() < 0.2, linear_layers(model)
    shared = {"model": {"path": str(model), "pooling": pooling}}
    trials = [
        trial(draw, model, number, layers, checkpointing, shared, dropout=True) for number in range(draw.randint(1, 3))
    ]
    found, expected = packed(*trials, data=data, slots=2), repeated(*trials, data=data)
    assert_alike(found, expected, AMPLIFIED, weights=False)
    assert {found.outcome(one.number).cost.engine for one in trials} == {"packed"}


def linear_layers(model: Path) -> list[str]:
    modules = AutoModelForSequenceClassification.from_pretrained(model).named_modules()
    linear = [name for name, module in modules if isinstance(module, torch.nn.Linear | Conv1D)]
    return [name for name in linear if not name.startswith(HEADS) and "pooler" not in name]


def trial(
    draw: random.Random, model: Path, number: int, layers: list[str], checkpointing: bool, shared: dict[str, Any],
    *, dropout: bool = False,
) -> TrialPlan:  # fmt: skip
    batch = draw.choice([1, 2, 3, 7, 8, 16, 39, 40, 64])
    trainer = {
        "per_device_train_batch_size": batch,
        "num_train_epochs": 0.4 if batch < 3 else draw.choice([0.3, 1, 1.5, 2]),
        "gradient_accumulation_steps": draw.choice([1, 1, 2, 5]),
        "max_grad_norm": draw.choice([0.0, 0.05, 1.0]),
        "eval_strategy": draw.choice(["epoch", "early", "no"]),
        "train_sampling_strategy": draw.choice(["random", "group_by_length"]),
        "per_device_eval_batch_size": draw.choice([1, 3, 32]),
        "gradient_checkpointing": checkpointing,
        "seed": draw.randrange(5),
    }
    optimizer = {
        "learning_rate": draw.choice([1e-4, 1e-3]),
        "weight_decay": draw.choice([0, 0.1]),
        "warmup_steps": draw.choice([0, 0.3]),
        "lr_scheduler_type": draw.choice(["linear", "cosine", "constant_with_warmup"]),
    }
    kind = adapter(draw, layers)
    if dropout:
        trainer["num_train_epochs"] = 0.4 if batch < 3 else draw.choice([2, 3])
        kind |= {"lora_dropout": draw.choice([0.0, 0.1, 0.5])} if kind["method"] == "lora" else {}
    return steady_plan(model, number, adapter=kind, trainer=trainer, optimizer=optimizer, **shared)


def adapter(draw: random.Random, layers: list[str]) -> dict[str, Any]:
    """Return an adapter on the default targets, on all layers, on some, or on some of the last
    block."""
    last = [name for name in layers if ".1." in name]
    some = tuple(draw.sample(group, draw.randint(1, len(group))) for group in (layers, last))
    targets = draw.choice([None, "all-linear", *map(tuple, some)])
    if draw.random() < 0.7:
        rank = {
            "r": draw.choice([1, 2, 5, 16, 40]),
            "lora_alpha": draw.choice([1.0, 8.0]),
            "use_rslora": draw.random() < 0.3,
        }
        return {"method": "lora", "target_modules": targets, **rank}
    inputs = draw.sample(targets, draw.randint(0, len(targets))) if isinstance(targets, tuple) else []
    return {
        "method": "ia3",
        "target_modules": targets,
        "feedforward_modules": None if targets is None else tuple(inputs),
    }
