"""A model that is needed after its training has a snapshot at the end, which gives it again without
a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from support.snapshots import comparable
from support.trials import make_plan
from sweep.data.tokenise import TokenisedData
from sweep.engine.protocol import StudyCallbacks
from sweep.engine.trainer import trained
from sweep.model.base_model_cache import BaseModelCache
from sweep.model.state import trainable_weights
from sweep.records.snapshot import Snapshot
from sweep.records.trial import Completed, EvalPoint, Outcome, Step, TrialPlan, Verdict

STOPS_EARLY = {"early_stopping_patience": 1, "early_stopping_threshold": 1.0, "num_train_epochs": 6.0}


@pytest.mark.parametrize("method", ["head", "lora"])
@pytest.mark.parametrize("trainer", [{}, STOPS_EARLY], ids=["to its last step", "stopped early"])
def test_a_trained_model_comes_back_at_its_best(
    data: TokenisedData, model_dir: Path, method: str, trainer: dict[str, Any]
) -> None:
    plan = make_plan(model_dir, adapter={"method": method}, trainer=trainer)
    snapshots, steps = list[Snapshot](), list[int]()
    whole, weights = _trained(plan, data, snapshots.append, steps)
    assert isinstance(whole, Completed) and whole.stopped_early == bool(trainer)
    assert snapshots[-1].step == steps[-1] == whole.cost.steps
    steps.clear()
    again, same = _trained(replace(plan, snapshot=snapshots[-1]), data, snapshots.append, steps)
    assert comparable(again) == comparable(whole)
    assert not any(steps)
    assert all(torch.equal(weight, same[name]) for name, weight in weights.items())


def test_a_trial_has_none(data: TokenisedData, model_dir: Path) -> None:
    """Its model is not needed after its end."""
    plan = make_plan(model_dir, adapter={"method": "head"})
    snapshots, steps = list[Snapshot](), list[int]()
    _trained(plan, data, snapshots.append, steps, at_end=False)
    assert steps[-1] not in [snapshot.step for snapshot in snapshots]


def _trained(
    plan: TrialPlan, data: TokenisedData, keep: Callable[[Snapshot], None], steps: list[int], *, at_end: bool = True
) -> tuple[Outcome, dict[str, Tensor]]:
    def hear(event: Step | EvalPoint) -> Verdict:
        steps.append(event.step)
        return Verdict.CONTINUE

    study = StudyCallbacks(hear, hear, keep)
    with trained(plan, base_models=BaseModelCache("cpu"), data=data, study=study, snapshot_at_end=at_end) as done:
        return done.outcome, {name: weight.detach().clone() for name, weight in trainable_weights(done.model)}
