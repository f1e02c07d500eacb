"""Trials of several folds, in packs and by the Trainer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import stdev

import numpy as np
import pytest

from support.folded import FOLDS, by_turns, make_folds, side_by_side
from support.packs import EXACT, Run, one_by_one
from support.snapshots import assert_uninterrupted, comparable, gone_on, progress
from sweep.data.tokenise import TokenisedData
from sweep.engine.metrics import Scores
from sweep.engine.out_of_fold import decoded
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.trial import Completed, EvalPoint, Failed, FailureReason, Pruned, Step, TrialPlan, Verdict

Plan = Callable[..., TrialPlan]
METRIC = "eval/accuracy"
RACING = {"study": {"pruner": "racing", "snapshot_every": 1000.0}}


@pytest.fixture(scope="session")
def folds(tmp_path_factory: pytest.TempPathFactory) -> TokenisedData:
    return make_folds(tmp_path_factory.mktemp("folds"))


@pytest.fixture
def made(trial: Plan) -> Plan:
    """Return a maker of trials whose folds take turns where they have no slots."""
    return lambda number=0, **sections: trial(number, **{**RACING, **sections})


def scores_of_folds(point: EvalPoint) -> list[float]:
    return [point.metrics[f"eval/fold/{fold}/accuracy"] for fold in range(1, FOLDS + 1)]


def out_of_fold(run: Run) -> Scores:
    outcome = run.outcome(0)
    assert isinstance(outcome, Completed) and outcome.out_of_fold is not None
    return decoded(outcome.out_of_fold)


def accuracies(scores: Scores, data: TokenisedData) -> list[float]:
    """Return the accuracy of each fold by the scores of the rows of all."""
    parts = [fold.validation.labels for fold in data.splits.folds]
    ends = np.cumsum([len(labels) for labels in parts])[:-1]
    return [
        float((part.argmax(axis=1) == np.asarray(labels)).mean())
        for part, labels in zip(np.split(scores, ends), parts, strict=True)
    ]


def rows_of(run: Run, number: int = 0) -> list[int]:
    """Return the steps of rows with metrics and of evaluations, in the order in which they were
    reported."""
    return [one.step for one in run.events(number) if isinstance(one, EvalPoint) or one.metrics]


def test_a_trial_scores_the_mean_of_trainings_that_were_made_fold_by_fold(made: Plan, folds: TokenisedData) -> None:
    weighed = made(trainer={"class_weights": "balanced"})  # by the train rows of each fold
    found = side_by_side(weighed, data=folds).outcome(0)
    alone = [
        one_by_one(weighed, data=TokenisedData(replace(folds.splits.fold(fold)), folds.cache)).outcome(0)
        for fold in (1, 2, 3)
    ]
    assert isinstance(found, Completed) and len(found.evals) == 2
    for index, point in enumerate(found.evals):
        scores = [one.evals[index].metrics[METRIC] for one in alone]
        assert scores_of_folds(point) == pytest.approx(scores)
        assert point.metrics[METRIC] == pytest.approx(math.fsum(scores) / FOLDS)
        assert point.metrics["eval/sd/accuracy"] == pytest.approx(stdev(scores))
    assert found.best.metrics[METRIC] == max(point.metrics[METRIC] for point in found.evals)
    assert found.cost.samples == sum(one.cost.samples for one in alone) == 2 * (40 + 41 + 46)
    assert found.cost.trained_parameters == alone[0].cost.trained_parameters > 0


def test_one_fold_after_the_other_scores_as_side_by_side(
    made: Plan, folds: TokenisedData, base_models: BaseModelCache
) -> None:
    together, turns = side_by_side(made(), data=folds), by_turns(made(), data=folds, base_models=base_models)
    few = side_by_side(made(), data=folds, slots=2)
    assert [point.step for point in together.outcome(0).evals] == [5, 10]
    for run in (turns, few):
        assert rows_of(run) == rows_of(together)
        for ours, theirs in zip(run.outcome(0).evals, together.outcome(0).evals, strict=True):
            assert ours.metrics == pytest.approx(theirs.metrics, rel=EXACT**0.5)
    scores = [out_of_fold(run) for run in (together, turns, few)]
    assert scores[0].shape == (59, 4)
    for one in scores:
        assert one == pytest.approx(scores[0], rel=EXACT**0.5, abs=1e-4)
        assert accuracies(one, folds) == pytest.approx(scores_of_folds(together.outcome(0).best))


def test_rows_are_reported_in_the_order_of_their_steps(made: Plan, folds: TokenisedData) -> None:
    steps = rows_of(side_by_side(made(), data=folds))
    assert steps == sorted(steps) and steps.count(5) == 2


def test_a_pruned_trial_has_trained_no_fold_beyond_the_evaluation(
    made: Plan, folds: TokenisedData, base_models: BaseModelCache
) -> None:
    def judge(_: TrialPlan, event: Step | EvalPoint) -> Verdict:
        return Verdict.PRUNE if isinstance(event, EvalPoint) else Verdict.CONTINUE

    for run in (
        side_by_side(made(), data=folds, judge=judge),
        by_turns(made(), data=folds, base_models=base_models, judge=judge),
    ):
        found = run.outcome(0)
        assert isinstance(found, Pruned) and len(found.evals) == 1
        assert found.cost.samples <= 40 + 41 + 46 + FOLDS * 8  # an epoch, and batches until the third fold is there


def test_without_a_pruner_folds_take_no_turns(trial: Plan, folds: TokenisedData, base_models: BaseModelCache) -> None:
    run = by_turns(trial(study={"pruner": "none"}), data=folds, base_models=base_models)
    assert isinstance(run.outcome(0), Completed) and rows_of(run) == sorted(rows_of(run))


@pytest.mark.parametrize("stopped_after", [0, 3, 5, 8])
def test_a_trial_goes_on_bit_for_bit_side_by_side(made: Plan, folds: TokenisedData, stopped_after: int) -> None:
    def judge(_: TrialPlan, event: Step | EvalPoint) -> Verdict:
        return Verdict.INTERRUPT if event.step >= stopped_after else Verdict.CONTINUE

    plan = made(trainer={"num_train_epochs": 2})
    first = side_by_side(plan, data=folds, judge=judge)
    (again,) = gone_on(first, plan)
    whole, last = side_by_side(plan, data=folds), side_by_side(again, data=folds)
    assert_uninterrupted(whole, first, last)
    assert (out_of_fold(whole) == out_of_fold(last)).all()


@pytest.mark.parametrize("asked", [2, 9, 14])
def test_a_trial_goes_on_bit_for_bit_by_turns(
    made: Plan, folds: TokenisedData, base_models: BaseModelCache, asked: int
) -> None:
    """The stop comes in the first round of turns, in which some folds have not begun, or later."""
    heard = 0

    def judge(_: TrialPlan, __: Step | EvalPoint) -> Verdict:
        nonlocal heard
        heard += 1
        return Verdict.INTERRUPT if heard >= asked else Verdict.CONTINUE

    plan = made()
    first = by_turns(plan, data=folds, base_models=base_models, judge=judge)
    assert isinstance(first.outcome(0), Failed)
    (again,) = gone_on(first, plan)
    whole = by_turns(plan, data=folds, base_models=base_models)
    last = by_turns(again, data=folds, base_models=base_models)
    shown = [one for one in progress(0, first, last) if isinstance(one, EvalPoint) or one.metrics]
    assert shown == [one for one in whole.events(0) if isinstance(one, EvalPoint) or one.metrics]
    assert comparable(last.outcome(0)) == comparable(whole.outcome(0))
    assert (out_of_fold(whole) == out_of_fold(last)).all()


def test_a_trial_fails_with_the_first_fold_that_does(made: Plan, folds: TokenisedData) -> None:
    found = side_by_side(made(optimizer={"learning_rate": 1e30}), data=folds).outcome(0)
    assert isinstance(found, Failed) and found.reason is FailureReason.DIVERGED
    assert found.message.startswith("fold ") and "training loss" in found.message


def test_patience_counts_the_mean(made: Plan, folds: TokenisedData, base_models: BaseModelCache) -> None:
    plan = made(optimizer={"learning_rate": 1e-12}, trainer={"num_train_epochs": 4, "early_stopping_patience": 1})
    for run in (side_by_side(plan, data=folds), by_turns(plan, data=folds, base_models=base_models)):
        found = run.outcome(0)
        assert isinstance(found, Completed) and found.stopped_early and len(found.evals) == 2


def test_two_trials_share_a_pack(made: Plan, folds: TokenisedData) -> None:
    run = side_by_side(made(), made(1, optimizer={"learning_rate": 1e-3}), data=folds, slots=2 * FOLDS)
    alone = side_by_side(made(1, optimizer={"learning_rate": 1e-3}), data=folds)
    assert run.outcome(1).best.metrics == pytest.approx(alone.outcome(1).best.metrics, rel=EXACT**0.5)


def test_a_head_on_cached_features_has_folds_too(
    steady_model_dir: Path, made: Plan, folds: TokenisedData, base_models: BaseModelCache
) -> None:
    run = by_turns(made(adapter={"method": "head"}), data=folds, base_models=base_models)
    found = run.outcome(0)
    assert isinstance(found, Completed) and found.cost.engine == "frozen"
    assert found.best.metrics[METRIC] == pytest.approx(math.fsum(scores_of_folds(found.best)) / FOLDS)
    assert accuracies(out_of_fold(run), folds) == pytest.approx(scores_of_folds(found.best))
