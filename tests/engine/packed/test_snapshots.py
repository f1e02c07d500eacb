"""Packed trials that are put away and taken up end as those that never stopped, bit for bit.

In their last bits the products of a pack depend on the trials that are beside each other. Trials
that go on together are therefore compared bit for bit, those that go on beside others to rounding.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from support.packs import EXACT, Run, one_by_one, packed
from support.slots import out_of_memory
from support.snapshots import StopAll, assert_uninterrupted, gone_on, interrupted, progress
from support.trials import make_plan
from sweep.config.optimizers import OPTIMIZERS, needs_trainer
from sweep.config.schema import OptimizerConfig
from sweep.data.tokenise import TokenisedData
from sweep.engine.optimizers import missing
from sweep.engine.packed.slot import Slot
from sweep.engine.snapshot import encode
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.trial import Completed, EvalPoint, Failed, FailureReason, Step, TrialPlan, Verdict

Plan = Callable[..., TrialPlan]
NEVER = float("inf")
FEW = {"per_device_eval_batch_size": 8, "logging_steps": 3, "save_best": False}  # an evaluation has three passes
ACCUMULATING = {
    "per_device_train_batch_size": 4, "gradient_accumulation_steps": 3, "num_train_epochs": 1,
    "eval_strategy": "steps", "eval_steps": 2,
}  # fmt: skip
OPTIMIZER_NAMES = [
    name for name in OPTIMIZERS
    if not needs_trainer(OptimizerConfig(name=name)) and not missing(name, torch.device("cpu"))
]  # fmt: skip


@pytest.fixture
def asked_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """The study is asked after every batch, in training and in evaluations."""
    monkeypatch.setattr("sweep.engine.packed.pack_step.UNHEARD", 0.0)


@pytest.fixture
def dropping(model_dir: Path) -> Plan:
    """Return a maker of trials with dropout in the base and in the adapter."""

    def make(number: int = 0, trainer: dict[str, Any] | None = None, **sections: Any) -> TrialPlan:
        sections = {"adapter": {"method": "lora", "lora_dropout": 0.2}, **sections}
        return make_plan(model_dir, number=number, trainer={**FEW, **(trainer or {})}, **sections)

    return make


@pytest.fixture
def pair(dropping: Plan) -> list[TrialPlan]:
    """One trial has steps of 3, 3, 3 and 1 batches, the other one ends earlier."""
    four = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 3}
    return [dropping(0, four), dropping(1, {"num_train_epochs": 1, "eval_strategy": "steps", "eval_steps": 2})]


def assert_goes_on(
    *trials: TrialPlan, at: float, data: TokenisedData, base_models: BaseModelCache, folder: Path | None = None
) -> list[Run]:
    """Stop all trials at a question, and check that they go on to the end of those that never
    stopped. Return both parts."""
    whole = packed(*trials, data=data, base_models=base_models, folder=folder and folder / "whole")
    first = packed(*trials, data=data, base_models=base_models, judge=StopAll(at), folder=folder and folder / "parts")
    again = packed(*gone_on(first, *trials), data=data, base_models=base_models, folder=folder and folder / "parts")
    assert_uninterrupted(whole, first, again)
    return [first, again]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("asked_always")
def test_a_pack_that_is_stopped_anywhere(
    pair: list[TrialPlan], data: TokenisedData, base_models: BaseModelCache
) -> None:
    counting = StopAll(NEVER)
    whole = packed(*pair, data=data, base_models=base_models, judge=counting)
    assert counting.asked > 50
    for at in range(1, counting.asked + 1):
        first = packed(*pair, data=data, base_models=base_models, judge=StopAll(at))
        assert_uninterrupted(whole, first, packed(*gone_on(first, *pair), data=data, base_models=base_models))


@pytest.mark.usefixtures("asked_always")
@pytest.mark.parametrize(("at", "left"), [(1, (2, 0)), (8, (1, 0)), (16, (2, 0)), (48, (1, None))], ids=str)
def test_a_pack_that_is_stopped_in_the_middle_of_a_step(
    pair: list[TrialPlan], data: TokenisedData, base_models: BaseModelCache, at: int, left: tuple[int | None, ...]
) -> None:
    """`left` batches of the present step are still to come."""
    first, _ = assert_goes_on(*pair, at=at, data=data, base_models=base_models)
    assert [_left(first, number) for number in (0, 1)] == list(left)


def _left(run: Run, number: int) -> int | None:
    if not interrupted(run, number):
        return None
    state = dict(map(tuple, run.snapshots[number][-1].state["dict"]))
    return int(state["left"])


METHODS: dict[str, dict[str, Any]] = {
    "dora": {"adapter": {"method": "dora"}},
    "ia3": {"adapter": {"method": "ia3"}},
    "lora+": {"adapter": {"method": "lora", "lr_ratio": 4.0, "rank_pattern": {"query": 4}, "alpha_pattern": {"value": 2.0}}},
    "eva": {"adapter": {"method": "lora", "init": "eva", "r": 4}},
    "probe": {"adapter": {"method": "lora", "head_init": "probe"}},
    "bf16": {"trainer": {**ACCUMULATING, "bf16": True}},
    "checkpointing": {"trainer": {**ACCUMULATING, "gradient_checkpointing": True}},
    "cosine": {"optimizer": {"lr_scheduler_type": "cosine_with_restarts", "warmup_steps": 2}},
    "multi-label": {"dataset": {"task": "multi_label"}, "trainer": {**ACCUMULATING, "class_weights": "balanced"}},
    "weights": {"trainer": {**ACCUMULATING, "class_weights": "balanced", "focal_gamma": 1.0, "logit_adjustment_tau": 1.0}},
}  # fmt: skip


@pytest.mark.usefixtures("asked_always")
@pytest.mark.parametrize("name", METHODS)
def test_every_kind_of_trial(
    dropping: Plan, data: TokenisedData, several: TokenisedData, base_models: BaseModelCache, name: str
) -> None:
    """The trial stops in the middle of its second step. Features of a probe are known already."""
    trial = dropping(**{"trainer": ACCUMULATING, **METHODS[name]})
    rows = several if name == "multi-label" else data
    packed(trial, data=rows, base_models=base_models)
    counting = StopAll(NEVER)
    packed(trial, data=rows, base_models=base_models, judge=counting)
    first, _ = assert_goes_on(trial, at=counting.asked - 14, data=rows, base_models=base_models)
    assert _left(first, 0) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("asked_always")
@pytest.mark.parametrize("name", OPTIMIZER_NAMES)
def test_every_optimizer(dropping: Plan, data: TokenisedData, base_models: BaseModelCache, name: str) -> None:
    trial = dropping(0, ACCUMULATING, optimizer={"name": name})
    assert_goes_on(trial, at=12, data=data, base_models=base_models)


def test_the_best_weights_are_written_at_the_end(
    dropping: Plan, data: TokenisedData, base_models: BaseModelCache, tmp_path: Path
) -> None:
    """The learning rate makes the trial worse: the first evaluation is the best."""
    trial = dropping(
        0, {"save_best": True, "save_newest": True, "eval_strategy": "steps", "eval_steps": 2},
        optimizer={"learning_rate": 5.0, "lr_scheduler_type": "constant"},
    )  # fmt: skip
    first, again = assert_goes_on(trial, at=9, data=data, base_models=base_models, folder=tmp_path)
    outcome = again.outcome(0)
    assert isinstance(outcome, Completed) and len(first.outcome(0).evals) == 3
    assert outcome.best.step < outcome.evals[-1].step
    assert again.best.keys() == again.newest.keys() == {0}


@pytest.mark.usefixtures("asked_always")
def test_an_evaluation_that_was_due_comes_first(
    dropping: Plan, data: TokenisedData, base_models: BaseModelCache
) -> None:
    """The trial stops while it is evaluated after its last step."""
    trial, counting = dropping(0, {"num_train_epochs": 1}), StopAll(NEVER)
    packed(trial, data=data, base_models=base_models, judge=counting)
    first, again = assert_goes_on(trial, at=counting.asked - 1, data=data, base_models=base_models)
    assert isinstance(first.events(0)[-1], Step) and not first.outcome(0).evals
    assert [type(event) for event in again.events(0) if event.metrics] == [EvalPoint]


def test_a_trial_that_is_stopped_where_its_patience_runs_out(
    dropping: Plan, data: TokenisedData, base_models: BaseModelCache
) -> None:
    trial = dropping(
        0, {"num_train_epochs": 4, "early_stopping_patience": 2, "eval_strategy": "steps", "eval_steps": 1},
        optimizer={"learning_rate": 1e-9},
    )  # fmt: skip
    _, again = assert_goes_on(trial, at=6, data=data, base_models=base_models)
    outcome = again.outcome(0)
    assert isinstance(outcome, Completed) and outcome.stopped_early
    assert again.events(0) == []


@pytest.mark.usefixtures("asked_always")
def test_a_trial_can_be_put_away_many_times(dropping: Plan, data: TokenisedData, base_models: BaseModelCache) -> None:
    """Each part takes two batches more, and once none: the former snapshot is used again."""
    trial = dropping(0, ACCUMULATING)
    whole = packed(trial, data=data, base_models=base_models)
    parts, rest = list[Run](), [trial]
    while rest:
        parts.append(packed(*rest, data=data, base_models=base_models, judge=StopAll(1 if len(parts) == 2 else 3)))
        taken = parts[-1].snapshots
        rest = [replace(one, snapshot=taken[0][-1] if taken else one.snapshot) for one in gone_on(parts[-1], trial)]
    assert len(parts) > 4
    assert_uninterrupted(whole, *parts)


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("at", [8, 19])
def test_a_trial_goes_on_in_any_other_pack(
    pair: list[TrialPlan], dropping: Plan, data: TokenisedData, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on beside trials that were not there, on CPU shards, and alone; one is compared with
    a trial that was always alone."""
    trial, other = pair
    monkeypatch.setattr("sweep.engine.packed.pack_step.UNHEARD", 0.0)
    expected = packed(trial, data=data)
    first = packed(trial, other, data=data, judge=StopAll(at))
    away = gone_on(first, trial, other)[0]
    mates = [dropping(number, adapter={"method": method}) for number, method in ((7, "ia3"), (8, "dora"))]
    for again in (packed(away, data=data, slots=1), packed(mates[0], away, mates[1], data=data, slots=3)):
        found = progress(0, first, again)
        for one, same in zip(found, progress(0, expected), strict=True):
            assert (type(one), one.step) == (type(same), same.step)
            assert one.metrics == pytest.approx(same.metrics, rel=EXACT, abs=EXACT)


def test_a_trial_that_has_to_wait_for_another_pack_goes_on_there(
    dropping: Plan, data: TokenisedData, base_models: BaseModelCache
) -> None:
    other, trial = dropping(1, {"num_train_epochs": 1}), dropping(0, {"bf16": True})
    whole = packed(trial, data=data, base_models=base_models)
    first = packed(trial, data=data, base_models=base_models, judge=StopAll(5))
    again = packed(other, *gone_on(first, trial), data=data, base_models=base_models)
    assert_uninterrupted(whole, first, again)


def test_snapshots_come_after_evaluations_and_at_intervals(
    dropping: Plan, data: TokenisedData, base_models: BaseModelCache
) -> None:
    """With an interval of 0 one comes after each batch, but the last one; a trial goes on from any
    of them."""
    trial = dropping(0, ACCUMULATING, study={"snapshot_every": 0.0})
    whole = packed(trial, data=data, base_models=base_models)
    taken = whole.snapshots[0]
    assert [snapshot.step for snapshot in taken] == [0, 0, 1, 1, 1, 2, 2, 2, 3]
    for snapshot in taken[1::3]:
        again = packed(replace(trial, snapshot=snapshot), data=data, base_models=base_models)
        left = [event for event in whole.events(0) if event.step > snapshot.step]
        assert again.events(0) == left
        assert again.outcome(0) == replace(whole.outcome(0), cost=again.outcome(0).cost)
    none = dropping(0, ACCUMULATING, study={"snapshots": "never"})
    assert packed(none, data=data, base_models=base_models, judge=StopAll(3)).snapshots == {}


def test_what_is_computed_before_the_first_step_is_not_computed_again(
    dropping: Plan, data: TokenisedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = dropping(adapter={"method": "lora", "init": "eva", "r": 4, "head_init": "probe"})
    whole = packed(trial, data=data)
    first = packed(trial, data=data, judge=StopAll(30))
    monkeypatch.setattr("sweep.engine.packed.slot_factory.set_first_weights", None)
    again = packed(*gone_on(first, trial), data=data)
    assert_uninterrupted(whole, first, again)


def test_seconds_add_up(dropping: Plan, data: TokenisedData, base_models: BaseModelCache) -> None:
    trial = dropping(0)
    first = packed(trial, data=data, base_models=base_models, judge=StopAll(7))
    (away,) = gone_on(first, trial)
    again = packed(replace(away), data=data, base_models=base_models, judge=StopAll(1))
    before, after = first.outcome(0).cost, again.outcome(0).cost
    assert after.seconds > before.seconds
    assert after.train_seconds > before.train_seconds
    assert after.eval_seconds == before.eval_seconds > 0


@pytest.mark.parametrize("engine", ["trainer", "frozen"])
def test_a_snapshot_of_another_engine_is_not_gone_on_from(
    dropping: Plan, data: TokenisedData, base_models: BaseModelCache, caplog: pytest.LogCaptureFixture, engine: str
) -> None:
    trial = dropping(3, {"num_train_epochs": 1})
    whole = packed(trial, data=data, base_models=base_models)
    other = replace(trial, snapshot=encode({"engine": engine}, 2))
    with caplog.at_level(logging.WARNING):
        again = packed(other, data=data, base_models=base_models)
    assert again.events(3) == whole.events(3)
    assert "trial 3 begins anew: its snapshot was taken by the" in caplog.text
    assert "and now the packed engine trains it" in caplog.text


def test_the_trainer_does_not_go_on_from_a_snapshot_of_a_pack(
    dropping: Plan, data: TokenisedData, base_models: BaseModelCache, caplog: pytest.LogCaptureFixture
) -> None:
    trial = dropping(3, {"num_train_epochs": 1})
    whole = one_by_one(trial, data=data, base_models=base_models)
    first = packed(trial, data=data, base_models=base_models, judge=StopAll(3))
    again = one_by_one(*gone_on(first, trial), data=data, base_models=base_models)
    assert again.events(3) == whole.events(3)
    assert "was taken by the packed engine, and now the Trainer trains it" in caplog.text


def test_no_memory_for_a_snapshot_ends_no_trial(
    dropping: Plan, data: TokenisedData, base_models: BaseModelCache, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    trial = dropping(0, study={"snapshot_every": 0.0})
    monkeypatch.setattr("sweep.engine.trial_state.encode", out_of_memory)
    run = packed(trial, data=data, base_models=base_models)
    assert isinstance(run.outcome(0), Completed) and not run.snapshots
    assert "no memory for a snapshot; training goes on: out of memory: a toy has none" in caplog.text


def test_weights_that_are_updated_in_part_are_not_kept(
    dropping: Plan, data: TokenisedData, base_models: BaseModelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The optimizer of one trial runs out of memory at its third step. The study stops all trials
    then."""
    learn, steps = Slot.learn, {0: 0, 1: 0}

    def failing(self: Slot, gradients: Any) -> Any:
        steps[self.plan.number] += 1
        if self.plan.number == 0 and steps[0] == 3:
            out_of_memory()
        return learn(self, gradients)

    monkeypatch.setattr(Slot, "learn", failing)
    trials = [dropping(number, study={"snapshot_every": 0.0}) for number in (0, 1)]

    def judge(_: TrialPlan, event: Step | EvalPoint) -> Verdict:
        return Verdict.INTERRUPT if event.step == 3 else Verdict.CONTINUE

    run = packed(*trials, data=data, base_models=base_models, judge=judge)
    failed, stopped = (run.outcome(number) for number in (0, 1))
    assert isinstance(failed, Failed) and failed.reason is FailureReason.OUT_OF_MEMORY
    assert isinstance(stopped, Failed) and stopped.reason is FailureReason.INTERRUPTED
    assert [snapshot.step for snapshot in run.snapshots[0]] == [1, 2]
    assert [snapshot.step for snapshot in run.snapshots[1]] == [1, 2, 3]
