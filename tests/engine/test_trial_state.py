"""The state of a trial: its reports, its best evaluation, and its end, with our own
mistakes."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from support import own_metrics
from support.trials import Watcher
from sweep.config.schema import Config
from sweep.config.settings import TrainSettings
from sweep.data.labels import LabelSpace
from sweep.data.tokenise import TokenisedData
from sweep.engine.clock import Clock
from sweep.engine.evaluation import Predictions
from sweep.engine.protocol import StudyCallbacks
from sweep.engine.snapshot_timer import SnapshotTimer, never
from sweep.engine.trial_state import Stopped, TrialState
from sweep.engine.trial_steps import TrialSteps
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.cost import Cost
from sweep.records.snapshot import Snapshot
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


def _at_evaluations(verdict: Verdict, event: Step | EvalPoint) -> Verdict:
    return verdict if isinstance(event, EvalPoint) else Verdict.CONTINUE


def test_after_the_last_evaluation_a_trial_is_complete_unless_pruned(
    plan: Plan, base_models: BaseModelCache, data: TokenisedData
) -> None:
    kinds = {}
    for verdict in (Verdict.INTERRUPT, Verdict.TIME_OUT, Verdict.PRUNE):
        watcher = Watcher(partial(_at_evaluations, verdict))
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
    def model(self, settings: TrainSettings, labels: LabelSpace) -> Iterator[nn.Module]:
        calls = count(1)

        def before_forward(*_: Any) -> None:
            if next(calls) == 3:
                self.fail()

        with super().model(settings, labels) as model:
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
    """Evaluations within the first epoch, which are made for the pruner, are not counted."""
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


@dataclass
class Heard:
    """Notes the reports of a state, and how often it asks for its weights to be kept."""

    verdicts: dict[str, Verdict] = field(default_factory=dict)
    said: list[Step | EvalPoint] = field(default_factory=list)
    best: int = 0
    newest: int = 0

    def report(self, event: Step | EvalPoint) -> Verdict:
        self.said.append(event)
        return self.verdicts.get(f"{type(event).__name__} {event.step}", Verdict.CONTINUE)

    def keep(self) -> None:
        self.best += 1

    def keep_newest(self) -> None:
        self.newest += 1


def state_of(
    heard: Heard,
    *,
    stop_after: int | None = None,
    evaluated_as: int | None = None,
    dataset: Mapping[str, Any] | None = None,
    study: Mapping[str, Any] | None = None,
    **trainer: Any,
) -> TrialState:
    """Forty rows in batches of ten: four steps an epoch."""
    trainer = {"per_device_train_batch_size": 10, "num_train_epochs": 2, "logging_steps": 3, **trainer}
    sections = {"trainer": trainer, "dataset": dataset or {}, "study": study or {}}
    settings = TrainSettings.of(Config.model_validate(sections))
    steps = TrialSteps.of(40, settings.trainer, stop_after=stop_after, evaluated_as=evaluated_as)
    callbacks = StudyCallbacks(heard.report, heard.report)
    return TrialState(
        settings, Clock(), callbacks, steps, keeper=heard, snapshots=SnapshotTimer(settings.snapshot_every)
    )


def step(state: TrialState, loss: float = 0.5) -> None:
    state.on_batch(10, torch.tensor(loss))
    if state.on_step((state.step + 1) / 4):
        state.on_log(learning_rate=0.1, grad_norm=2.0)


def predictions(right: int, loss: float = 0.5) -> Predictions:
    scores = np.eye(2, dtype=np.float32)[[0] * right + [1] * (4 - right)]
    return Predictions(scores, np.zeros(4, dtype=np.int64), loss, seconds=0.0)


def test_steps_are_logged_with_the_mean_loss_since_the_last_one() -> None:
    heard = Heard()
    state = state_of(heard, eval_strategy="no")
    for loss in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0):
        step(state, loss)
    assert [one.metrics.get("train/loss") for one in heard.said] == [None, None, 2.0, None, None, 5.0, None, 7.5]
    assert heard.said[2] == Step(3, 8, 0.75, {
        "train/loss": 2.0, "train/learning_rate": 0.1, "train/grad_norm": 2.0, "train/epoch": 0.75,
    })  # fmt: skip
    assert (state.mean_loss(), state.samples, state.finished, state.ended) == (4.5, 80, True, False)


def test_batches_of_one_step_are_counted_and_their_losses_added() -> None:
    state = state_of(Heard(), logging_steps=1)
    state.on_batch(10, torch.tensor(0.25))
    state.on_batch(3, torch.tensor(0.5))
    assert (state.samples, state.step, state.mean_loss()) == (13, 0, None)
    state.on_step(0.25)
    assert state.mean_loss() == 0.75


def test_a_norm_that_is_not_finite_is_left_out() -> None:
    heard = Heard()
    state = state_of(heard, logging_steps=1)
    state.on_batch(10, torch.tensor(0.5))
    assert state.on_step(0.25)
    state.on_log(learning_rate=0.1, grad_norm=math.inf)
    assert tuple(heard.said[0].metrics) == ("train/loss", "train/learning_rate", "train/epoch")
    assert not state.ended


def test_evaluations_are_due_after_the_steps_planned() -> None:
    state = state_of(Heard(), eval_strategy="epoch")
    due = []
    for _ in range(8):
        step(state)
        due.append(state.evaluation_due)
        if due[-1]:
            state.on_eval(predictions(2))
    assert [number for number, one in enumerate(due, start=1) if one] == [4, 8]
    assert (state.eval_samples, len(state.evals)) == (8, 2)


def test_the_best_and_the_newest_weights_are_kept() -> None:
    heard = Heard()
    state = state_of(heard)
    for right in (2, 3, 1):
        step(state)
        state.on_eval(predictions(right))
    assert (heard.best, heard.newest) == (2, 3)
    assert state.best is not None and (state.best.index, state.best.metrics["eval/accuracy"]) == (2, 0.75)


def test_a_loss_that_is_not_finite_ends_the_trial_at_its_step() -> None:
    heard = Heard()
    state = state_of(heard)
    step(state)
    step(state, math.nan)
    assert state.failure == (FailureReason.DIVERGED, "training loss is nan at step 2 of 8")
    assert (state.finished, state.evaluation_due, len(heard.said)) == (True, False, 1)


def test_scores_that_are_not_finite_end_the_trial() -> None:
    heard = Heard()
    state = state_of(heard)
    step(state)
    state.on_eval(predictions(2, math.inf))
    assert state.failure == (FailureReason.DIVERGED, "validation loss is inf at step 1 of 8")
    assert (heard.newest, state.evals) == (0, [])


def test_a_metric_of_ones_own_that_fails_is_nan_there_and_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    heard = Heard()
    state = state_of(heard, dataset={"metrics": ("sometimes.right",)}, study={"metric": "eval/right"})
    with own_metrics.module(tmp_path, monkeypatch), caplog.at_level(logging.WARNING):
        for count in (0, 3, 1, 2):
            step(state)
            state.on_eval(predictions(count))
    assert [point.metrics["eval/right"] for point in state.evals] == pytest.approx([nan, 3, nan, 2], nan_ok=True)
    assert state.failure is None and state.best is not None and state.best.index == 2
    (line,) = caplog.messages
    assert "0 rows are right (sometimes.py, line " in line and line.endswith("; eval/right is NaN where this happens")


def test_patience_ends_the_trial_but_not_after_its_last_step() -> None:
    state = state_of(Heard(), eval_strategy="steps", eval_steps=1, early_stopping_patience=2)
    for _ in range(3):
        step(state)
        state.on_eval(predictions(2))
    assert state.stopped_early and state.finished
    state = state_of(Heard(), eval_strategy="steps", eval_steps=1, early_stopping_patience=1, num_train_epochs=0.5)
    for _ in range(2):
        step(state)
        state.on_eval(predictions(2))
    assert state.idle == 1 and state.finished and not state.stopped_early


@pytest.mark.parametrize("verdict", [Verdict.PRUNE, Verdict.INTERRUPT, Verdict.TIME_OUT])
def test_the_study_can_stop_a_trial_before_its_first_step(verdict: Verdict) -> None:
    state = state_of(Heard({"Step 0": verdict}))
    with pytest.raises(Stopped):
        state.check_stop()
    assert state.ended and state.step == 0
    other = Heard()
    state_of(other).check_stop()
    assert other.said == [Step(0, 8, 0.0)]


def test_the_first_failure_counts() -> None:
    state = state_of(Heard())
    state.apply(Verdict.TIME_OUT)
    state.apply(Verdict.INTERRUPT)
    failed = state.outcome(Cost())
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.message) == (FailureReason.TIMED_OUT, "out of time after step 0")


def test_a_training_without_evaluations_ends_on_the_way_of_its_schedule() -> None:
    heard = Heard()
    state = state_of(heard, stop_after=2, eval_strategy="steps", eval_steps=1)
    for _ in range(2):
        assert not state.finished
        step(state)
        assert not state.evaluation_due
    assert (state.finished, state.ended, state.steps.schedule) == (True, False, 8)
    assert [(one.step, bool(one.metrics)) for one in heard.said] == [(1, False), (2, True)]


def test_a_training_that_ends_on_the_way_is_evaluated_where_it_has_rows_to_score() -> None:
    state = state_of(Heard(), stop_after=2, evaluated_as=40, eval_strategy="steps", eval_steps=1)
    step(state)
    assert state.evaluation_due


def test_of_equal_scores_the_lowest_loss_is_the_best_and_patience_does_not_count_it() -> None:
    state = state_of(Heard())
    points = [(0.5, 0.9), (0.8, 0.6), (0.8, 0.5), (0.8, 0.5)]
    taken = [
        state.add(step, float(step), {"eval/accuracy": accuracy, "eval/loss": loss})
        for step, (accuracy, loss) in enumerate(points, start=1)
    ]
    assert taken == [True, True, True, False]
    assert state.best is not None
    assert (state.best.index, state.idle) == (3, 2)


def test_patience_counts_scores_that_are_no_numbers_and_a_first_number_is_a_gain() -> None:
    state = state_of(Heard())
    idle = []
    for step, accuracy in enumerate((math.nan, math.nan, 0.5, math.nan, 0.4, 0.6), start=1):
        state.add(step, float(step), {"eval/accuracy": accuracy, "eval/loss": 0.5})
        idle.append(state.idle)
    assert idle == [1, 2, 0, 1, 2, 0]
    assert state.best is not None and state.best.index == 6


def test_the_best_goes_by_the_study_metric(
    plan: Plan, base_models: BaseModelCache, data: TokenisedData, watcher: Watcher
) -> None:
    study = {"metric": "eval/loss", "direction": "minimize"}
    outcome = watcher.run(plan(study=study, trainer={"num_train_epochs": 4}), base_models=base_models, data=data)
    assert isinstance(outcome, Completed)
    assert outcome.best == min(outcome.evals, key=lambda point: point.metrics["eval/loss"])


def saving(state: TrialState) -> list[Snapshot]:
    """Let a state have snapshots when they are asked for. Return those that it takes."""
    taken: list[Snapshot] = []
    state.snapshots, state.study = SnapshotTimer(3600.0), replace(state.study, on_snapshot=taken.append)
    return taken


def test_a_trial_that_is_put_away_ends_with_its_next_snapshot() -> None:
    state = state_of(Heard({"Step 2": Verdict.PUT_AWAY}))
    taken = saving(state)
    for _ in range(2):
        step(state)
    assert not state.ended  # the snapshot comes between two steps
    state.offer_snapshot(dict)
    assert state.interrupted and [snapshot.step for snapshot in taken] == [2]


def test_a_trial_that_has_not_begun_is_put_away_at_once() -> None:
    state = state_of(Heard({"Step 0": Verdict.PUT_AWAY}))
    assert saving(state) == []
    with pytest.raises(Stopped):
        state.check_stop()


@pytest.mark.parametrize("timer", [never(), SnapshotTimer(3600.0)])
def test_a_trial_that_cannot_be_saved_is_trained_to_its_end(timer: SnapshotTimer) -> None:
    """The second one turns out to hold an object only when its snapshot is taken."""
    state = state_of(Heard(dict.fromkeys((f"Step {number}" for number in range(2, 9)), Verdict.PUT_AWAY)))
    taken, state.snapshots = saving(state), timer
    while not state.finished:
        step(state)
        if state.evaluation_due:
            state.on_eval(predictions(2))
        state.offer_snapshot(lambda: {"optimizer": object()})
    assert state.at_last_step and not taken and isinstance(state.outcome(Cost()), Completed)
