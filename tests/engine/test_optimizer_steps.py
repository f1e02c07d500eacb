"""The optimizer steps of the loops that are not the Trainer's: batches, epochs, clipping,
schedule."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from support.trials import make_plan
from sweep.engine.arguments import training_arguments
from sweep.engine.optimizer_steps import OptimizerSteps, make_optimizer

CPU = torch.device("cpu")
LENGTHS = [3, 5, 2, 4, 6, 1, 7]
PLAIN = {"name": "sgd", "learning_rate": 0.5, "lr_scheduler_type": "linear"}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(2, 2), nn.LayerNorm(2)
        self.frozen = nn.Linear(2, 2).requires_grad_(False)


def begun(folder: Path, model: nn.Module | None = None, steps: int = 10, **sections: Any) -> OptimizerSteps:
    settings = make_plan(Path("base"), **{"optimizer": PLAIN, **sections}).settings
    return OptimizerSteps.begin(model or Net(), training_arguments(settings, CPU, folder), LENGTHS, steps)


def test_batches_of_an_epoch_make_steps_and_the_last_step_may_be_short(tmp_path: Path) -> None:
    trainer = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 3}
    steps = list(islice(begun(tmp_path, trainer=trainer).batches(), 4))
    assert [[len(batch) for batch in step.batches] for step in steps] == [[2, 2, 2], [1], [2, 2, 2], [1]]
    assert [step.epoch for step in steps] == [0.75, 1.0, 1.75, 2.0]
    for epoch in (steps[:2], steps[2:]):
        assert sorted(row for step in epoch for batch in step.batches for row in batch) == list(range(7))
    assert steps[:2] != steps[2:]


def test_the_order_goes_by_the_seed(tmp_path: Path) -> None:
    orders = [
        list(islice(begun(tmp_path, trainer={"per_device_train_batch_size": 2, "seed": seed}).batches(), 4))
        for seed in (1, 1, 2)
    ]
    assert orders[0] == orders[1] != orders[2]


def test_a_step_follows_the_schedule_and_clears_the_gradients(tmp_path: Path) -> None:
    model = Net()
    steps = begun(tmp_path, model, steps=4)
    before = model.linear.weight.detach().clone()
    rates = []
    for _ in range(2):
        model.linear.weight.grad = torch.full((2, 2), 0.1)
        rates.append(steps.step().rate)
        assert model.linear.weight.grad is None
    assert rates == [0.5, 0.375]
    torch.testing.assert_close(model.linear.weight, before - 0.1 * (0.5 + 0.375))


@pytest.mark.parametrize(("most", "moved"), [(1.0, 1.0), (0.0, 20.0)])
def test_gradients_are_clipped_unless_the_bound_is_zero(tmp_path: Path, most: float, moved: float) -> None:
    """The norm that is returned is the one before clipping."""
    model = Net()
    steps = begun(tmp_path, model, trainer={"max_grad_norm": most})
    before = model.linear.weight.detach().clone()
    model.linear.weight.grad = torch.full((2, 2), 10.0)
    assert steps.step().norm.item() == pytest.approx(20.0)
    assert (model.linear.weight.detach() - before).norm().item() == pytest.approx(0.5 * moved, rel=1e-4)


def test_biases_and_norms_do_not_decay_and_frozen_weights_are_left_out(tmp_path: Path) -> None:
    model = Net()
    settings = make_plan(Path("base"), optimizer={"weight_decay": 0.3}).settings
    decaying, others = make_optimizer(model, training_arguments(settings, CPU, tmp_path)).param_groups
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.3, 0.0)
    assert decaying["params"] == [model.linear.weight]
    assert {id(one) for one in others["params"]} == {
        id(one) for one in (model.linear.bias, model.norm.weight, model.norm.bias)
    }
