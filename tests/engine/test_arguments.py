from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.training_args import OptimizerNames

from sweep.config.names import OptimizerName
from sweep.config.schema import Config
from sweep.config.settings import TrainSettings
from sweep.engine import arguments, warning
from sweep.engine.arguments import choose_optimizer, device_faults, training_arguments

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def config(optimizer: dict[str, Any] | None = None, **trainer: Any) -> TrainSettings:
    return TrainSettings.of(Config.model_validate({"optimizer": optimizer or {}, "trainer": trainer}))


@pytest.mark.parametrize("name", ["adamw_torch", "adamw_torch_fused"])
def test_torch_optimizers_run_anywhere(name: OptimizerName) -> None:
    assert choose_optimizer(name, CPU) == choose_optimizer(name, CUDA) == arguments.Optimizer(name)


def test_paged_optimizers_fall_back_without_cuda() -> None:
    assert choose_optimizer("paged_adamw_8bit", CUDA).name == "paged_adamw_8bit"
    assert choose_optimizer("paged_adamw_32bit", CPU).name == "adamw_torch"
    assert choose_optimizer("paged_adamw_8bit", CPU).name == "adamw_8bit"


def test_a_fallback_is_announced_once_naming_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(warning.logger, "warning", said.append)
    monkeypatch.setattr(warning, "logged", set())
    asked = config({"name": "paged_adamw_32bit"})
    made = [training_arguments(asked, CPU, tmp_path) for _ in range(2)]
    (line,) = said
    assert "paged_adamw_32bit" in line
    assert "adamw_torch" in line
    assert {str(OptimizerNames(each.optim).value) for each in made} == {"adamw_torch"}


def test_all_faults_of_the_device_are_found_at_once() -> None:
    asked = config({"name": "paged_adamw_8bit", "on_missing": "refuse"}, fp16=True)
    assert [fault.path for fault in device_faults(asked, "cpu")] == ["trainer.fp16", "optimizer.name"]


def test_a_fallback_is_no_fault_and_bf16_runs_on_the_cpu() -> None:
    assert device_faults(config({"name": "paged_adamw_8bit"}, bf16=True), CPU) == []


def test_everything_that_the_trainer_decides_comes_from_the_config(tmp_path: Path) -> None:
    optimizer = {
        "learning_rate": 0.25, "weight_decay": 0.5, "warmup_steps": 0.1, "lr_scheduler_type": "cosine",
        "adam_beta1": 0.8, "adam_beta2": 0.9, "adam_epsilon": 1e-6,
    }  # fmt: skip
    trainer = {
        "per_device_train_batch_size": 3, "per_device_eval_batch_size": 5, "num_train_epochs": 1.5,
        "gradient_accumulation_steps": 2, "max_grad_norm": 0.7, "logging_steps": 4, "bf16": True, "seed": 9,
        "train_sampling_strategy": "random",
    }  # fmt: skip
    made = training_arguments(config(optimizer, **trainer), CPU, tmp_path)
    for name, value in {**optimizer, **trainer}.items():
        assert getattr(made, name) == value, name


def test_one_device_nothing_reported_nothing_saved(tmp_path: Path) -> None:
    made = training_arguments(config(), CPU, tmp_path)
    assert made.device == CPU
    assert made.n_gpu <= 1
    assert made.report_to == []
    assert made.save_strategy == "no"
