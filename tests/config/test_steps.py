from __future__ import annotations

from typing import Any

import pytest

from sweep.config.schema import Config
from sweep.config.steps import evaluation_steps, refit_steps, steps_per_epoch, stretched, total_steps, warmup_steps


def config(**trainer: Any) -> Config:
    return Config.model_validate({"trainer": {"per_device_train_batch_size": 8, **trainer}})


@pytest.mark.parametrize(
    ("rows", "trainer", "steps"),
    [
        (8002, {"num_train_epochs": 4}, 4004),  # Banking77 in batches of 8, as published
        (7, {"num_train_epochs": 1}, 1),
        (16, {"num_train_epochs": 1.5}, 3),
        (17, {"num_train_epochs": 2}, 6),
        (40, {"gradient_accumulation_steps": 2, "num_train_epochs": 1}, 3),
        (40, {"gradient_accumulation_steps": 8, "num_train_epochs": 3}, 3),
        (23164, {"per_device_train_batch_size": 128, "num_train_epochs": 0.01}, 2),
    ],
)
def test_total_steps(rows: int, trainer: dict[str, Any], steps: int) -> None:
    assert total_steps(rows, config(**trainer).trainer) == steps


def test_left_over_batches_make_a_step() -> None:
    assert steps_per_epoch(41, config(gradient_accumulation_steps=4).trainer) == 2


@pytest.mark.parametrize(("value", "steps"), [(0, 0), (0.1, 1), (0.5, 5), (1, 1), (3.7, 3)])
def test_warmup_below_one_is_a_share(value: float, steps: int) -> None:
    assert warmup_steps(10, value) == steps


@pytest.mark.parametrize(
    ("trainer", "steps"),
    [
        ({"eval_strategy": "epoch", "num_train_epochs": 3}, (5, 10, 15)),
        ({"eval_strategy": "epoch", "num_train_epochs": 1.3}, (5, 7)),
        ({"eval_strategy": "steps", "eval_steps": 4, "num_train_epochs": 2}, (4, 8, 10)),
        ({"eval_strategy": "steps", "eval_steps": 5, "num_train_epochs": 2}, (5, 10)),
        ({"eval_strategy": "steps", "eval_steps": 50, "num_train_epochs": 2}, (10,)),
        ({"eval_strategy": "no", "num_train_epochs": 2}, (10,)),
        ({"eval_strategy": "early", "num_train_epochs": 3}, (1, 3, 5, 10, 15)),
        ({"eval_strategy": "early", "num_train_epochs": 2, "per_device_train_batch_size": 1}, (5, 10, 20, 40, 80)),
        ({"eval_strategy": "early", "num_train_epochs": 0.5}, (1, 3)),
    ],
)
def test_the_last_step_is_always_evaluated(trainer: dict[str, Any], steps: tuple[int, ...]) -> None:
    assert evaluation_steps(40, config(**trainer).trainer) == steps


@pytest.mark.parametrize(
    ("best", "rows", "more", "trainer", "steps"),
    [
        (10, 40, 62, {"num_train_epochs": 4}, 16),  # two epochs of five steps, then of eight
        (20, 40, 62, {"num_train_epochs": 4}, 32),
        (3, 40, 62, {"num_train_epochs": 4, "eval_strategy": "early"}, 5),  # 0.6 epochs
        (8, 40, 62, {"num_train_epochs": 1.5}, 12),  # the end, which is rounded up in both
        (5, 40, 62, {"num_train_epochs": 2, "gradient_accumulation_steps": 2}, 7),
        (1, 800, 808, {"num_train_epochs": 1}, 1),
    ],
)
def test_a_refit_goes_as_far_in_epochs(best: int, rows: int, more: int, trainer: dict[str, Any], steps: int) -> None:
    assert refit_steps(best, rows, more, config(**trainer).trainer) == steps


def test_evaluations_of_a_longer_training_come_at_the_same_shares() -> None:
    assert stretched((1, 2, 5, 10), 10) == (1, 2, 5, 10)
    assert stretched((1, 2, 5, 10), 13) == (1, 2, 6, 13)
    assert all(len(set(stretched(range(1, 11), total))) == 10 for total in range(10, 40))
