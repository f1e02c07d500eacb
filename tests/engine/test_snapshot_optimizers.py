"""Every optimizer that this machine can run goes on from a snapshot bit for bit, or has none."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch

from support.snapshots import Stopping, TakenUp, with_snapshots
from sweep.config.names import OptimizerName
from sweep.config.optimizers import OPTIMIZERS
from sweep.data.tokenise import TokenisedData
from sweep.engine import snapshot_timer, warning
from sweep.engine.optimizers import missing
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.trial import TrialPlan

AT_HAND = [
    name for name in OPTIMIZERS if not missing(name, torch.device("cpu")) and name != "galore_adafactor_layerwise"
]
WIDE = {"method": "lora", "r": 128}  # bitsandbytes keeps smaller weights' moments in 32 bits


def planned(plan: Callable[..., TrialPlan], name: OptimizerName) -> TrialPlan:
    optimizer: dict[str, Any] = {"name": name, "learning_rate": 1e-3}
    if OPTIMIZERS[name].targets:
        optimizer |= {"optim_target_modules": "all-linear", "optim_args": {"rank": 4, "update_proj_gap": 2}}
    return plan(optimizer=optimizer, adapter=WIDE, trainer={"num_train_epochs": 1})


@pytest.mark.filterwarnings("ignore")  # of packages that are optional
@pytest.mark.parametrize("name", [name for name in AT_HAND if not OPTIMIZERS[name].unsaved])
def test_its_state_goes_on(
    plan: Callable[..., TrialPlan], base_models: BaseModelCache, data: TokenisedData, name: OptimizerName
) -> None:
    TakenUp(planned(plan, name), base_models, data).check(3)  # of five steps


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in AT_HAND if OPTIMIZERS[name].unsaved] or ["adamw_torch_4bit"])
def test_a_state_that_cannot_be_saved_is_told_once(
    plan: Callable[..., TrialPlan],
    base_models: BaseModelCache,
    data: TokenisedData,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    name: OptimizerName,
) -> None:
    monkeypatch.setattr(warning, "logged", set())
    trial = planned(plan, name)
    trial = TrialPlan(0, {}, with_snapshots(trial.config), trial.total_steps, command="")
    watcher = Stopping(2)
    with caplog.at_level(logging.WARNING):
        if missing(name, torch.device("cpu")):
            timer = snapshot_timer.SnapshotTimer(0.0)
            timer.stop(f"optimizer.name {name} {OPTIMIZERS[name].unsaved}")
            assert not timer.due((8, 0))
        else:
            watcher.run(trial, trial, base_models=base_models, data=data)
    said = [record.getMessage() for record in caplog.records if "no snapshots" in record.getMessage()]
    reason = f"optimizer.name {name} {OPTIMIZERS[name].unsaved}"
    assert watcher.snapshots == [] and said == [f"trials have no snapshots, and begin anew after a stop: {reason}"]
