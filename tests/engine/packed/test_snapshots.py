"""Packed trials that are put away and taken up end as those that never stopped, bit for bit.

The products of a pack depend, in their last bits, on the trials beside each other. So trials that
go on together are compared bit for bit, those that go on beside others to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.packs import packed
from support.snapshots import StopAll, assert_uninterrupted, gone_on
from support.trials import make_plan
from sweep.data.tokenise import TokenisedData
from sweep.records.trial import TrialPlan

Plan = Callable[..., TrialPlan]


@pytest.fixture
def asked_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """The study is asked after every batch, in training and in evaluations."""
    monkeypatch.setattr("sweep.engine.packed.pack_step._UNHEARD", 0.0)


@pytest.fixture
def dropping(model_dir: Path) -> Plan:
    """Return a maker of trials with dropout in the base and in the adapter."""

    def make(number: int, trainer: dict[str, Any] | None = None, **sections: Any) -> TrialPlan:
        sections = {"adapter": {"method": "lora", "lora_dropout": 0.2}, **sections}
        trainer = {"logging_steps": 3, "save_best": True, "save_newest": True, **(trainer or {})}
        return make_plan(model_dir, number=number, trainer=trainer, **sections)

    return make


@pytest.mark.usefixtures("asked_always")
def test_a_pack_that_is_stopped_anywhere(dropping: Plan, data: TokenisedData, tmp_path: Path) -> None:
    """One trial has steps of 3, 3, 3 and 1 batches, the other ends after its first epoch. The
    evaluations of both take several passes."""
    few = {"per_device_eval_batch_size": 8}
    trials = [
        dropping(0, {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 3, **few}),
        dropping(1, {"num_train_epochs": 1, "eval_strategy": "steps", "eval_steps": 2, **few}),
    ]
    counting = StopAll(float("inf"))
    whole = packed(*trials, data=data, judge=counting, folder=tmp_path / "whole")
    assert counting.asked > 30
    for at in range(1, counting.asked + 1):
        first = packed(*trials, data=data, judge=StopAll(at), folder=tmp_path / str(at))
        again = packed(*gone_on(first, *trials), data=data, folder=tmp_path / str(at))
        assert_uninterrupted(whole, first, again)
