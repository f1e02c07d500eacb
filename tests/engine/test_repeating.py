"""Same config, same seed, same numbers: in a row, after other trials, and in a process of its
own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from support.trials import Watcher, make_data, make_plan, retrained
from sweep.data.tokenise import TokenisedData
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.trial import Completed, TrialPlan

Plan = Callable[..., TrialPlan]
Numbers = list[list[float]]

# Dropout is on in the base as well as in the adapter; with `head` it is on in the head alone.
METHODS: dict[str, dict[str, Any]] = {
    "lora": {"method": "lora", "lora_dropout": 0.2},
    "head": {"method": "head"},
    "full": {"method": "full"},
}


def numbers(watcher: Watcher) -> Numbers:
    return [list(event.metrics.values()) for event in watcher.events if event.step]


def run(trial: TrialPlan, base_models: BaseModelCache, data: TokenisedData, best_dir: Path | None = None) -> Numbers:
    watcher = Watcher()
    watcher.run(trial, base_models=base_models, data=data, best_dir=best_dir)
    return numbers(watcher)


@pytest.mark.parametrize("method", METHODS)
def test_a_trial_repeats_exactly_after_others(plan: Plan, data: TokenisedData, tmp_path: Path, method: str) -> None:
    """Saving, too, draws no random number."""
    base_models = BaseModelCache("cpu")
    trial = plan(adapter=METHODS[method])
    first = run(trial, base_models, data)
    others = [plan(adapter=adapter, trainer={"seed": 5, "num_train_epochs": 1}) for adapter in METHODS.values()]
    for other in others:
        run(other, base_models, data)
    torch.rand(3)
    saving = plan(adapter=METHODS[method], trainer={"save_best": True})
    assert run(saving, base_models, data, tmp_path / "best") == first
    assert run(trial, BaseModelCache("cpu"), data) == first


def test_retraining_repeats_every_evaluation(
    plan: Plan, base_models: BaseModelCache, data: TokenisedData, watcher: Watcher
) -> None:
    outcome = watcher.run(plan(), base_models=base_models, data=data)
    with retrained(plan(), base_models=base_models, data=data) as done:
        assert isinstance(done.outcome, Completed)
        assert done.outcome.evals == outcome.evals


def test_evaluating_more_often_does_not_change_the_training(
    plan: Plan, base_models: BaseModelCache, data: TokenisedData
) -> None:
    often = plan(trainer={"eval_strategy": "steps", "eval_steps": 1})
    assert run(often, base_models, data)[-1] == run(plan(), base_models, data)[-1]


def test_another_seed_gives_other_numbers(plan: Plan, base_models: BaseModelCache, data: TokenisedData) -> None:
    assert run(plan(), base_models, data) != run(plan(trainer={"seed": 1}), base_models, data)


def test_mixed_precision_does_not_outlive_its_trial(plan: Plan, data: TokenisedData) -> None:
    base_models = BaseModelCache("cpu")
    plain, half = plan(adapter={"method": "head"}), plan(adapter={"method": "head"}, trainer={"bf16": True})
    first = run(plain, base_models, data)
    mixed = run(half, base_models, data)
    assert mixed != first
    assert mixed[-1] == [pytest.approx(value, rel=0.2, abs=0.2) for value in first[-1]]
    assert run(plain, base_models, data) == first


def test_gradient_checkpointing_costs_no_exactness(
    plan: Plan, base_models: BaseModelCache, data: TokenisedData
) -> None:
    adapter = METHODS["lora"]
    checkpointed = plan(adapter=adapter, trainer={"gradient_checkpointing": True})
    assert run(checkpointed, base_models, data) == run(plan(adapter=adapter), base_models, data)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_process_of_its_own_repeats_a_trial(
    plan: Plan, model_dir: Path, base_models: BaseModelCache, data: TokenisedData, tmp_path: Path, method: str
) -> None:
    first = run(plan(adapter=METHODS[method]), base_models, data)
    command = [sys.executable, __file__, str(model_dir), str(tmp_path), method]
    env = {"PYTHONPATH": ":".join(sys.path), "HF_HUB_OFFLINE": "1", "MKL_CBWR": os.environ["MKL_CBWR"]}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    assert json.loads(done.stdout.splitlines()[-1]) == first


if __name__ == "__main__":
    torch.set_num_threads(1)
    model, cache, name = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    print(json.dumps(run(make_plan(model, adapter=METHODS[name]), BaseModelCache("cpu"), make_data(cache))))
