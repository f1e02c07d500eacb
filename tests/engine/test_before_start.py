"""A trial that ends before its model is loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from support.snapshots import Stopping, comparable
from support.trials import make_plan
from sweep.data.tokenise import TokenisedData
from sweep.engine.before_start import failed_before_start, saved_cost, stopped_before_start
from sweep.engine.snapshot import encode
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.cost import Cost
from sweep.records.snapshot import Snapshot
from sweep.records.trial import Failed, FailureReason, Verdict

CPU = torch.device("cpu")
PLAN = make_plan(Path("base"))


def test_a_trial_that_is_not_wanted_any_more_has_an_outcome_without_a_model() -> None:
    ended = stopped_before_start(PLAN, lambda *_: Verdict.INTERRUPT, CPU)
    assert isinstance(ended, Failed) and ended.reason is FailureReason.INTERRUPTED
    assert ended.cost == Cost()
    assert stopped_before_start(PLAN, lambda *_: Verdict.CONTINUE, CPU) is None


def test_a_trial_that_was_put_away_keeps_its_evaluations_and_its_cost(data: TokenisedData, model_dir: Path) -> None:
    stopping = Stopping(7)
    plan = make_plan(model_dir, adapter={"method": "head"})
    before = stopping.run(plan, base_models=BaseModelCache("cpu"), data=data)
    away = replace(plan, snapshot=stopping.snapshots[-1])
    ended = stopped_before_start(away, lambda *_: Verdict.INTERRUPT, CPU)
    assert isinstance(ended, Failed) and len(ended.evals) == 1
    kept = replace(comparable(before), cost=replace(comparable(before).cost, flops=ended.cost.flops))
    assert comparable(ended) == kept  # the features were computed once, for all trials
    assert 0 < ended.cost.seconds <= before.cost.seconds
    saved = saved_cost(away)
    assert saved is not None and replace(saved, seconds=0.0, devices=()) == replace(
        ended.cost, seconds=0.0, devices=(), peak_host_bytes=0
    )
    assert (saved.seconds, saved.devices) == (stopping.snapshots[-1].seconds, stopping.snapshots[-1].devices)
    failed = failed_before_start(away, FailureReason.OUT_OF_MEMORY, "no memory", CPU)
    assert isinstance(failed, Failed) and (failed.evals, failed.message) == (ended.evals, "no memory")


def test_a_broken_snapshot_is_as_none() -> None:
    broken = replace(PLAN, snapshot=Snapshot(b""))
    ended = stopped_before_start(broken, lambda *_: Verdict.INTERRUPT, CPU)
    assert isinstance(ended, Failed) and ended.cost == Cost()
    assert saved_cost(broken) is saved_cost(PLAN) is None


def test_a_snapshot_of_several_folds_tells_no_cost() -> None:
    folds = replace(PLAN, snapshot=encode({"members": [], "logged": []}, 6, seconds=2.0))
    ended = stopped_before_start(folds, lambda *_: Verdict.INTERRUPT, CPU)
    assert isinstance(ended, Failed) and ended.cost == Cost()
    assert saved_cost(folds) is None


def test_a_state_that_lacks_a_count_is_an_error_and_not_a_missing_snapshot() -> None:
    """Else the trial would end with a part of its counts."""
    cut = replace(PLAN, snapshot=encode({"engine": "trainer", "trial": {"step": 6}}, 6))
    with pytest.raises(KeyError, match="epoch"):
        saved_cost(cut)
