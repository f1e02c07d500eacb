"""A trial that is put away at an evaluation frees its slot there, and goes on bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.packs import Run, one_by_one, packed
from support.snapshots import assert_uninterrupted
from support.trials import make_plan
from sweep.data.tokenise import TokenisedData
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.trial import EvalPoint, Failed, Step, TrialPlan, Verdict

LORA: dict[str, Any] = {"method": "lora", "lora_dropout": 0.2}


def pause_first(trial: TrialPlan, event: Step | EvalPoint) -> Verdict:
    first = isinstance(event, EvalPoint) and event.index == 1
    return Verdict.PUT_AWAY if trial.number == 0 and first else Verdict.CONTINUE


def uninterrupted(
    train: Any, model_dir: Path, data: TokenisedData, base_models: BaseModelCache, adapter: dict[str, Any]
) -> tuple[TrialPlan, Run]:
    """Return a trial for which no snapshot is due, and its whole run."""
    trainer = {"num_train_epochs": 2, "save_best": False}
    trial = make_plan(model_dir, number=0, adapter=adapter, trainer=trainer, study={"snapshot_every": 3600.0})
    train(trial, data=data, base_models=base_models)  # the first head computes the features of the base
    return trial, train(trial, data=data, base_models=base_models)


@pytest.mark.parametrize("train", [one_by_one, packed], ids=["one by one", "packed"])
@pytest.mark.parametrize("adapter", [LORA, {"method": "head"}], ids=["lora", "head"])
def test_a_paused_trial_ends_at_its_evaluation_and_goes_on(
    model_dir: Path, data: TokenisedData, base_models: BaseModelCache, train: Any, adapter: dict[str, Any]
) -> None:
    """No snapshot was due there: the last one may be long ago."""
    trial, whole = uninterrupted(train, model_dir, data, base_models, adapter)
    first: Run = train(trial, data=data, base_models=base_models, judge=pause_first)
    outcome, point = first.outcome(0), whole.events(0)[-1]
    (stopped_at,) = [event for event in first.events(0) if isinstance(event, EvalPoint)]
    assert isinstance(outcome, Failed) and outcome.reason.retried and len(outcome.evals) == 1
    assert first.events(0)[-1] == stopped_at and outcome.cost.steps == stopped_at.step < point.step
    assert first.snapshots[0][-1].step == stopped_at.step
    again = train(replace(trial, snapshot=first.snapshots[0][-1]), data=data, base_models=base_models)
    assert_uninterrupted(whole, first, again)


@pytest.mark.parametrize("train", [one_by_one, packed], ids=["one by one", "packed"])
@pytest.mark.parametrize("adapter", [LORA, {"method": "head"}], ids=["lora", "head"])
def test_a_trial_that_was_stopped_before_an_evaluation_is_paused_at_it(
    model_dir: Path, data: TokenisedData, base_models: BaseModelCache, train: Any, adapter: dict[str, Any]
) -> None:
    """The evaluation comes first when the trial goes on, and no step after it."""
    trial, whole = uninterrupted(train, model_dir, data, base_models, adapter)
    at = next(event.step for event in whole.events(0) if isinstance(event, EvalPoint))

    def stop_there(_: TrialPlan, event: Step | EvalPoint) -> Verdict:
        return Verdict.INTERRUPT if event.step == at else Verdict.CONTINUE

    parts = [train(trial, data=data, base_models=base_models, judge=stop_there)]
    assert not parts[0].outcome(0).evals
    for judge in (pause_first, lambda *_: Verdict.CONTINUE):
        going_on = replace(trial, snapshot=parts[-1].snapshots[0][-1])
        parts.append(train(going_on, data=data, base_models=base_models, judge=judge))
    paused = parts[1].outcome(0)
    assert isinstance(paused, Failed) and (len(paused.evals), paused.cost.steps) == (1, at)
    assert_uninterrupted(whole, *parts)


def test_the_slot_of_a_paused_trial_is_free_for_the_next_one(
    model_dir: Path, data: TokenisedData, base_models: BaseModelCache
) -> None:
    trials = [make_plan(model_dir, number=number, adapter=LORA, trainer={"save_best": False}) for number in range(3)]
    run = packed(*trials, data=data, base_models=base_models, slots=2, judge=pause_first)
    pulled = [place for place, one in enumerate(run.said) if one.kind == "pulled"]
    ended = [place for place, one in enumerate(run.said) if (one.kind, one.number) == ("ended", 0)]
    assert pulled[1] < ended[0] < pulled[2] and max(run.open) == 2
