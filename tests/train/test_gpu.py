"""What only a CUDA device has: `pytest -m gpu`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from sweep.data.tokenise import TokenisedData
from sweep.model.bench import Bench
from sweep.records import Completed, Failed, FailureReason, TrialPlan
from sweep.train.arguments import device_faults
from trials import Watcher

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

Plan = Callable[..., TrialPlan]


@pytest.fixture(scope="module")
def gpu() -> Bench:
    return Bench("cuda")


@pytest.mark.parametrize(
    "sections",
    [
        {"trainer": {"bf16": True, "gradient_checkpointing": True}},
        {"trainer": {"fp16": True}},
        {"adapter": {"method": "full"}, "trainer": {"fp16": True}},
        {"adapter": {"method": "lora", "quantization": "nf4"}, "trainer": {"bf16": True}},
        {"optimizer": {"name": "adamw_torch_fused"}},
        {"optimizer": {"name": "paged_adamw_32bit"}},
        {"optimizer": {"name": "paged_adamw_8bit"}},
    ],
    ids=str,
)
def test_precisions_and_optimizers_train(
    plan: Plan, gpu: Bench, data: TokenisedData, watcher: Watcher, sections: dict[str, Any]
) -> None:
    trial = plan(**{**sections, "trainer": {"num_train_epochs": 6, **sections.get("trainer", {})}})
    assert device_faults(trial.config, gpu.device) == []
    outcome = watcher.run(trial, bench=gpu, data=data)
    assert isinstance(outcome, Completed)
    assert outcome.evals[-1].metrics["eval/loss"] < outcome.evals[0].metrics["eval/loss"]
    assert outcome.cost.peak_device_bytes > 0


def test_divergence_shows_when_the_loss_is_logged(
    plan: Plan, gpu: Bench, data: TokenisedData, watcher: Watcher
) -> None:
    bad = plan(optimizer={"learning_rate": 1e30}, trainer={"max_grad_norm": 0.0, "logging_steps": 4})
    outcome = watcher.run(bad, bench=gpu, data=data)
    assert isinstance(outcome, Failed)
    assert outcome.reason is FailureReason.DIVERGED
    assert outcome.message == "training loss is nan at step 4 of 10"
