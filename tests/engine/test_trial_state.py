"""How a trial ends: at its last evaluation, early, or by a failure that is told from our own mistakes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
import torch
from torch import nn

from support.trials import Watcher
from sweep.config.schema import Config
from sweep.config.settings import TrainSettings
from sweep.data.labels import LabelSpace
from sweep.data.tokenise import TokenisedData
from sweep.engine.clock import Clock
from sweep.engine.trial_state import TrialState
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.trial import Completed, EvalPoint, Failed, FailureReason, Pruned, Step, TrialPlan, Verdict

Plan = Callable[..., TrialPlan]


@pytest.mark.parametrize(
    ("verdict", "kind", "reason"),
    [
        (Verdict.PRUNE, Pruned, None),
        (Verdict.INTERRUPT, Failed, FailureReason.INTERRUPTED),
        (Verdict.TIME_OUT, Failed, FailureReason.TIMED_OUT),
    ],
)
@pytest.mark.parametrize(("event", "index"), [(Step, 3), (Step, 4), (EvalPoint, 5)])
def test_a_verdict_ends_the_trial_before_its_next_step(
    plan: Plan,
    base_models: BaseModelCache,
    data: TokenisedData,
    verdict: Verdict,
    kind: type,
    reason: FailureReason | None,
    event: type,
    index: int,
) -> None:
    """Step 3 is not logged, step 4 is, and step 5 is evaluated."""
    watcher = Watcher(lambda each: verdict if isinstance(each, event) and each.step == index else Verdict.CONTINUE)
    outcome = watcher.run(plan(), base_models=base_models, data=data)
    assert isinstance(outcome, kind)
    assert getattr(outcome, "reason", None) == reason
    assert watcher.events[-1].step == outcome.cost.steps == index
    assert isinstance(watcher.events[-1], event)
    assert len(outcome.evals) == (event is EvalPoint)


def test_after_the_last_evaluation_a_trial_is_complete_unless_pruned(
    plan: Plan, base_models: BaseModelCache, data: TokenisedData
) -> None:
    kinds = {}
    for verdict in (Verdict.INTERRUPT, Verdict.TIME_OUT, Verdict.PRUNE):
        watcher = Watcher(lambda event, given=verdict: given if isinstance(event, EvalPoint) else Verdict.CONTINUE)
        kinds[verdict] = type(watcher.run(plan(trainer={"num_train_epochs": 1}), base_models=base_models, data=data))
    assert kinds == {Verdict.INTERRUPT: Completed, Verdict.TIME_OUT: Completed, Verdict.PRUNE: Pruned}


def test_a_loss_that_is_not_finite_fails_the_trial_and_the_next_one_runs(
    plan: Plan, base_models: BaseModelCache, data: TokenisedData, watcher: Watcher
) -> None:
    bad = plan(optimizer={"learning_rate": 1e30}, trainer={"max_grad_norm": 0.0})
    watcher.run(bad, plan(number=1, trainer={"num_train_epochs": 1}), base_models=base_models, data=data)
    first, second = watcher.outcomes
    assert isinstance(first, Failed)
    assert first.reason is FailureReason.DIVERGED
    assert "training loss is nan at step 2 of 10" in first.message
    assert first.cost.train_loss is None
    assert all(math.isfinite(value) for step in watcher.steps for value in step.metrics.values())
    assert isinstance(second, Completed)


def test_an_evaluation_that_is_not_finite_fails_the_trial(
    plan: Plan, base_models: BaseModelCache, data: TokenisedData, watcher: Watcher
) -> None:
    bad = plan(optimizer={"learning_rate": 1e30}, trainer={"eval_strategy": "steps", "eval_steps": 1})
    outcome = watcher.run(bad, base_models=base_models, data=data)
    assert isinstance(outcome, Failed)
    assert outcome.reason is FailureReason.DIVERGED
    assert outcome.message == "validation loss is nan at step 1 of 10"
    assert outcome.evals == ()


class Breaking(BaseModelCache):
    """A cache of base models, whose models fail in the forward pass of their third batch."""

    def __init__(self, fail: Callable[[], object]) -> None:
        super().__init__("cpu")
        self.fail = fail

    @contextmanager
    def model(self, config: Config, labels: LabelSpace) -> Iterator[nn.Module]:
        calls = count(1)

        def before_forward(*_: Any) -> None:
            if next(calls) == 3:
                self.fail()

        with super().model(config, labels) as model:
            model.register_forward_pre_hook(before_forward)
            yield model


def test_memory_that_runs_out_fails_the_trial(plan: Plan, data: TokenisedData, watcher: Watcher) -> None:
    base_models = Breaking(lambda: torch.empty(2**58))
    outcome = watcher.run(plan(), base_models=base_models, data=data)
    assert isinstance(outcome, Failed)
    assert outcome.reason is FailureReason.OUT_OF_MEMORY
    assert outcome.message.startswith("after step 2: ")
    assert "allocate" in outcome.message
    assert outcome.cost.steps == 2


def test_memory_that_runs_out_while_loading_fails_the_trial(plan: Plan, data: TokenisedData, watcher: Watcher) -> None:
    class Small(BaseModelCache):
        @contextmanager
        def model(self, *_: Any) -> Iterator[nn.Module]:
            torch.empty(2**58)
            yield nn.Identity()

    outcome = watcher.run(plan(), base_models=Small("cpu"), data=data)
    assert isinstance(outcome, Failed)
    assert outcome.reason is FailureReason.OUT_OF_MEMORY
    assert outcome.message.startswith("while loading the model: ")


def test_our_own_mistakes_are_not_a_trials_failure(plan: Plan, data: TokenisedData, watcher: Watcher) -> None:
    def fail() -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        watcher.run(plan(), base_models=Breaking(fail), data=data)
    assert watcher.outcomes == []


@pytest.mark.parametrize(("strategy", "evaluated_at"), [("epoch", [5, 10, 15]), ("early", [1, 3, 5, 10])])
def test_early_stopping_counts_evaluations_without_a_gain(
    plan: Plan,
    base_models: BaseModelCache,
    data: TokenisedData,
    watcher: Watcher,
    strategy: str,
    evaluated_at: list[int],
) -> None:
    """But not those within the first epoch, which are there for the pruner."""
    trial = plan(
        optimizer={"learning_rate": 1e-9},
        trainer={
            "num_train_epochs": 6, "eval_strategy": strategy,
            "early_stopping_patience": 2, "early_stopping_threshold": 0.01,
        },
    )  # fmt: skip
    outcome = watcher.run(trial, base_models=base_models, data=data)
    assert isinstance(outcome, Completed)
    assert outcome.stopped_early
    assert [point.step for point in outcome.evals] == evaluated_at
    assert outcome.best == min(outcome.evals, key=lambda point: Config().study.objective.key(point.metrics))


def test_of_equal_scores_the_lowest_loss_is_the_best_and_patience_does_not_count_it() -> None:
    state = TrialState(
        TrainSettings.of(Config()), Clock(), lambda _: Verdict.CONTINUE, lambda _: Verdict.CONTINUE, 4, 4
    )
    points = [(0.5, 0.9), (0.8, 0.6), (0.8, 0.5), (0.8, 0.5)]
    taken = [
        state.add(step, float(step), {"eval/accuracy": accuracy, "eval/loss": loss})
        for step, (accuracy, loss) in enumerate(points, start=1)
    ]
    assert taken == [True, True, True, False]
    assert state.best is not None
    assert (state.best.index, state.idle) == (3, 2)


def test_the_best_goes_by_the_study_metric(
    plan: Plan, base_models: BaseModelCache, data: TokenisedData, watcher: Watcher
) -> None:
    study = {"metric": "eval/loss", "direction": "minimize"}
    outcome = watcher.run(plan(study=study, trainer={"num_train_epochs": 4}), base_models=base_models, data=data)
    assert isinstance(outcome, Completed)
    assert outcome.best == min(outcome.evals, key=lambda point: point.metrics["eval/loss"])
