"""Limits in the engines: what is measured of a trial, and when it ends for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from support.packs import one_by_one, packed
from support.slots import ToySlot
from support.trials import make_plan
from sweep.config.limits import DEVICE_BYTES, HOST_BYTES, LATENCY, SECONDS
from sweep.data.tokenise import TokenisedData
from sweep.engine import memory
from sweep.engine.limit_watch import LimitWatch
from sweep.engine.packed import pack_memory
from sweep.engine.packed.pack_memory import measured_apart
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.cost import Cost
from sweep.records.trial import Completed, Failed, FailureReason, Outcome, Step, TrialPlan, Verdict

CPU = torch.device("cpu")
LOOPS: dict[str, Callable[..., Any]] = {"trainer": one_by_one, "packed": packed, "frozen": one_by_one}


def ended(
    loop: str, trial: Callable[..., TrialPlan], data: TokenisedData, base_models: BaseModelCache, **limits: float
) -> Outcome:
    sections = {"adapter": {"method": "head"}} if loop == "frozen" else {}
    named = {name.replace("__", "."): value for name, value in limits.items()}
    plan = replace(trial(trainer={"num_train_epochs": 1, "save_best": False, "save_newest": False}, **sections),
                   limits=named)  # fmt: skip
    run = LOOPS[loop](plan, data=data, base_models=base_models)
    outcome: Outcome = run.outcome(0)
    assert isinstance(outcome, Completed) or outcome.cost.engine == loop or outcome.cost.steps == 0
    return outcome


@pytest.mark.parametrize("loop", LOOPS)
def test_a_trial_that_answers_too_slowly_takes_no_step(
    loop: str, trial: Callable[..., TrialPlan], data: TokenisedData, base_models: BaseModelCache
) -> None:
    outcome = ended(loop, trial, data, base_models, predict__latency_ms=1e-6)
    assert isinstance(outcome, Failed) and outcome.reason is FailureReason.INFEASIBLE
    assert outcome.cost.steps == 0 and outcome.cost.measured[LATENCY] > 1e-6 and not outcome.evals


@pytest.mark.parametrize("loop", LOOPS)
def test_a_trial_within_its_limits_completes_with_its_values(
    loop: str, trial: Callable[..., TrialPlan], data: TokenisedData, base_models: BaseModelCache
) -> None:
    outcome = ended(loop, trial, data, base_models, predict__latency_ms=1e6, cost__peak_host_bytes=1e15,
                    cost__seconds=1e6)  # fmt: skip
    assert isinstance(outcome, Completed)
    measured = outcome.cost.measured
    assert measured.keys() == {LATENCY, HOST_BYTES}
    assert 0 < measured[LATENCY] < 1e6 and 0 < measured[HOST_BYTES] <= outcome.cost.peak_host_bytes


@pytest.mark.parametrize(
    ("loop", "name"),
    [("trainer", "cost__peak_host_bytes"), ("packed", "cost__seconds"), ("packed", "cost__device_hours")],
)
def test_a_peak_or_a_time_beyond_its_limit_ends_the_trial_at_its_first_step(
    loop: str, name: str, trial: Callable[..., TrialPlan], data: TokenisedData, base_models: BaseModelCache
) -> None:
    outcome = ended(loop, trial, data, base_models, **{name: 1e-9})
    assert isinstance(outcome, Failed) and outcome.reason is FailureReason.INFEASIBLE
    assert outcome.cost.steps <= 1


def test_without_limits_the_study_is_asked_as_before() -> None:
    def on_step(_: Step) -> Verdict:
        return Verdict.PRUNE

    watch = LimitWatch({}, CPU)
    assert watch.reporting(on_step) is on_step
    assert watch.measured_cost(Cost(steps=3)) == Cost(steps=3)
    watched = LimitWatch({SECONDS: 1.0}, CPU).reporting(on_step)
    assert watched(Step(1, 2, 0.5, seconds=2.0)) is Verdict.PRUNE  # the study's own verdict comes first
    going = LimitWatch({SECONDS: 1.0}, CPU).reporting(lambda _: Verdict.CONTINUE)
    assert [going(Step(1, 2, 0.5, seconds=seconds)) for seconds in (1.0, 1.1)] == [Verdict.CONTINUE, Verdict.INFEASIBLE]


def test_a_trial_of_a_pack_is_charged_its_part_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process held 1,000 bytes, 100 of them a trial's own, and a step took 300 more."""
    peaks = iter((5000, 1000, 1300))
    monkeypatch.setattr(pack_memory, "peak_of", lambda name, device: next(peaks))
    monkeypatch.setattr(memory, "reset_peaks", lambda device: None)
    slots = []
    for number, tokens in enumerate((10, 20)):
        slot: Any = ToySlot(make_plan(Path("base"), number=number), batch_tokens=tokens)
        slot.watch, slot.bytes, slot.pending = LimitWatch({HOST_BYTES: 1.0}, CPU, shares=True), 100, [[0]]
        slots.append(slot)
    with measured_apart(slots, CPU):
        pass
    assert [slot.watch.measured[HOST_BYTES] for slot in slots] == [1300 - 100 - 200, 1300 - 100 - 100]
    assert [slot.watch.measured_cost(Cost(peak_host_bytes=10)).peak_host_bytes for slot in slots] == [5000, 5000]


def test_the_folds_of_a_trial_are_charged_together(monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = iter((5000, 1000, 1300))
    monkeypatch.setattr(pack_memory, "peak_of", lambda name, device: next(peaks))
    monkeypatch.setattr(memory, "reset_peaks", lambda device: None)
    slots = []
    for number, fold, tokens in ((0, 1, 10), (0, 2, 10), (1, 1, 10)):
        plan = replace(make_plan(Path("base"), number=number), fold=fold)
        slot: Any = ToySlot(plan, batch_tokens=tokens)
        slot.watch, slot.bytes, slot.pending = LimitWatch({HOST_BYTES: 1.0}, CPU, shares=True), 100, [[0]]
        slots.append(slot)
    with measured_apart(slots, CPU):
        pass
    assert [slot.watch.measured[HOST_BYTES] for slot in slots] == [1300 - 100 - 100] * 2 + [1300 - 200 - 200]


def test_a_pack_without_limits_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(memory, "reset_peaks", refuse)
    slot: Any = ToySlot(make_plan(Path("base")))
    with measured_apart([slot], CPU):
        pass
    assert DEVICE_BYTES not in slot.watch.measured
