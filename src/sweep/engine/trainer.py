"""One trial, trained from its plan to its outcome; and the engine that trains one trial after the
other."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import TrainingArguments

from sweep.config.settings import TrainSettings
from sweep.data.collate import collator
from sweep.data.tokenise import TokenisedData
from sweep.engine import cached_head, memory, reporting_trainer
from sweep.engine.arguments import autocast, training_arguments
from sweep.engine.before_start import cost_of_snapshot, failed_before_start
from sweep.engine.best_weights import Best
from sweep.engine.callback import TrialCallback
from sweep.engine.clock import Clock, place_of
from sweep.engine.evaluation import UNHEARD, Collator, Predictions, predict
from sweep.engine.first_weights import set_first_weights
from sweep.engine.limit_watch import LimitWatch
from sweep.engine.loss import mean_loss
from sweep.engine.packed.replay import Replay
from sweep.engine.protocol import (
    NextTrial,
    OnTrialEnd,
    OnTrialEval,
    OnTrialSnapshot,
    OnTrialStep,
    StudyCallbacks,
    no_snapshot,
)
from sweep.engine.reporting_trainer import ReportingTrainer
from sweep.engine.snapshot import ENGINE, opened, suited
from sweep.engine.snapshot_timer import SnapshotTimer
from sweep.engine.snapshottable import unsaved
from sweep.engine.training_loss import TrainingLoss, training_loss
from sweep.engine.trial_state import Stopped, TrialState
from sweep.engine.trial_steps import TrialSteps
from sweep.errors import first_line
from sweep.model.account import unwrapped
from sweep.model.base_model_cache import BaseModelCache
from sweep.model.state import UntrainedState, trainable_weights, trained_parameters
from sweep.records.cost import Cost
from sweep.records.trial import Failed, FailureReason, Outcome, TrialPlan


@dataclass(frozen=True, slots=True)
class Trained:
    """A trial that has ended, while its model is still there.

    `model` holds its weights at the best evaluation, or, where there was none, as training left
    them. `predict` evaluates a tokenised dataset with them, under the precision that the trial was
    trained in.
    """

    state: TrialState
    cost: Cost
    model: nn.Module
    tokenizer: Any
    predict: Callable[[Any], Predictions]

    @property
    def outcome(self) -> Outcome:
        """Return the outcome of a training that was evaluated; any other has only `failed`."""
        return self.state.outcome(self.cost)

    @property
    def failed(self) -> Failed | None:
        return self.state.failed(self.cost)


@dataclass(frozen=True, slots=True)
class OneByOne:
    """An `Engine` with one slot. `best_dir` gives the folder where a trial's best adapter is kept,
    None to keep none."""

    base_models: BaseModelCache
    data: TokenisedData
    best_dir: Callable[[TrialPlan], Path | None]

    def run(
        self,
        next_trial: NextTrial,
        on_step: OnTrialStep,
        on_eval: OnTrialEval,
        on_end: OnTrialEnd,
        on_snapshot: OnTrialSnapshot = no_snapshot,
    ) -> None:
        _freeze_imports()
        while (trial := next_trial()) is not None:
            outcome = self._train(trial, on_step, on_eval, on_snapshot)
            memory.release(self.base_models.device)
            on_end(trial, outcome)

    def _train(
        self, trial: TrialPlan, on_step: OnTrialStep, on_eval: OnTrialEval, on_snapshot: OnTrialSnapshot
    ) -> Outcome:
        clock = Clock()
        try:
            with trained(
                trial,
                base_models=self.base_models,
                data=self.data,
                study=StudyCallbacks(
                    lambda step: on_step(trial, step),
                    lambda point: on_eval(trial, point),
                    lambda snapshot: on_snapshot(trial, snapshot),
                ),
                best_dir=self.best_dir(trial),
            ) as done:
                return done.outcome
        except (RuntimeError, MemoryError) as error:
            if not memory.out_of_memory(error):
                raise
            message = f"while loading the model: {first_line(error)}"
        device, seconds = self.base_models.device, clock.total()
        return failed_before_start(trial, FailureReason.OUT_OF_MEMORY, message, device, seconds=seconds)


@contextmanager
def trained(
    trial: TrialPlan,
    *,
    base_models: BaseModelCache,
    data: TokenisedData,
    study: StudyCallbacks,
    best_dir: Path | None = None,
    evaluated: bool = True,
    as_packed: bool = False,
    snapshot_at_end: bool = False,
    as_planned: bool = False,
) -> Iterator[Trained]:
    """Train a trial to its end; its model is there until the context is left. A trial that is not
    `evaluated` reads no validation row. It ends after `trial.total_steps`, which may come before
    the end of its schedule, as every trial does that is trained `as_planned`. With `as_packed`,
    for a trial that was trained in a pack, dropout draws the masks that it drew there. With
    `snapshot_at_end` the trained model has a snapshot too: a plan with that snapshot gives it
    again without a step.

    Divergence, running out of memory while training, and verdicts make an outcome. Everything else
    is raised, running out of memory while the model is loaded included.
    """
    settings, device, whole, data = trial.settings, base_models.device, len(data.splits.train), data.of_fold(trial.fold)
    clock = Clock(place=place_of(trial, device))
    memory.reset_peaks(device)
    tokenizer, labels = base_models.tokenizer(settings.model), data.splits.labels
    prompt = base_models.prompt(settings, labels)
    rows = data.train(tokenizer, settings.max_length, prompt)
    held_out = data.validation(tokenizer, settings.max_length, prompt) if evaluated else None
    with base_models.model(settings, labels) as model, base_models.temporary_folder() as folder:
        best, watch = Best.of(model, tokenizer, trial.config, labels, best_dir), LimitWatch(trial.watched, device)
        steps = TrialSteps.of(
            len(rows), settings.trainer, evaluated_as=whole if evaluated else None,
            stop_after=None if evaluated and not as_planned else trial.total_steps,
        )  # fmt: skip
        watched = StudyCallbacks(watch.reporting(study.on_step), watch.evaluated(study.on_eval), study.on_snapshot)
        state = TrialState(
            settings, clock, watched, steps, keeper=best, trained_parameters=trained_parameters(model), labels=labels.names,
            snapshots=SnapshotTimer(settings.snapshot_every, at_end=snapshot_at_end),
        )  # fmt: skip
        training = _Training(
            trial, base_models, data, model, rows, held_out, best, watch, state,
            collate=collator(tokenizer, labels), answering=collator(tokenizer, labels, answers=prompt is not None),
        )  # fmt: skip
        cost = training.run(Path(folder), as_packed=as_packed)
        best.restore()
        if not evaluated and not _finite(model):  # an evaluation would have shown it
            state.fail(FailureReason.DIVERGED, f"weights are not finite after step {cost.steps}")
        yield Trained(state, watch.measured_cost(cost), model=model, tokenizer=tokenizer, predict=training.scored)


@dataclass(frozen=True, slots=True)
class _Training:
    """A trial whose model is loaded, and which has not begun.

    `data`, `rows` and `held_out` are those of its fold; `held_out` is None where nothing is
    evaluated. `answering` makes the batches that it trains on, with the answers where label words
    classify, and `collate` all others.
    """

    trial: TrialPlan
    base_models: BaseModelCache
    data: TokenisedData
    model: nn.Module
    rows: Any
    held_out: Any
    best: Best
    watch: LimitWatch
    state: TrialState
    collate: Collator
    answering: Collator

    @property
    def settings(self) -> TrainSettings:
        return self.trial.settings

    @property
    def device(self) -> torch.device:
        return self.base_models.device

    def scored(self, dataset: Any, check_stop: Callable[[], None] = lambda: None) -> Predictions:
        """Return the predictions for a tokenised dataset, under the precision of training."""
        trainer = self.settings.trainer
        with autocast(trainer, self.device):
            return predict(
                self.model, dataset, collate=self.collate, batch_size=trainer.per_device_eval_batch_size,
                loss=mean_loss(self.settings), check_stop=check_stop,
            )  # fmt: skip

    def run(self, folder: Path, *, as_packed: bool) -> Cost:
        """Train to the end, or from the snapshot of the plan on, and return the cost. `folder` is
        for the files of the Trainer."""
        arguments, untrained = training_arguments(self.settings, self.device, folder), UntrainedState.of(self.model)
        if reason := unsaved(self.settings, self.model):
            self.state.snapshots.stop(reason)
        loss = TrainingLoss.of(self.settings, self.rows, self.data.splits.labels, self.device)
        engine, resumed = _opened(self.trial, self.model, self.device)
        cost = self._stopped_ahead(resumed)
        if cost is None and engine == "frozen":
            cost = self._by_cached_head(arguments, loss, resumed)
        if cost is None:
            cost = self._by_trainer(arguments, loss, resumed, untrained=untrained, as_packed=as_packed)
        if resumed is not None and not self.state.went_on:
            cost = cost_of_snapshot(self.state, resumed, self.device)
        return cost

    def _stopped_ahead(self, resumed: dict[str, Any] | None) -> Cost | None:
        """Do what comes before the first step: measure the latency, and set the first weights of
        a trial that begins. Return the cost where the study ends the trial meanwhile, else
        None."""
        state, cast = self.state, partial(autocast, self.settings.trainer, self.device)
        try:
            if self.watch.measure_latency(self.model, self.held_out, self.collate, cast):
                state.check_stop()
            if resumed is None:
                state.flops_ahead = set_first_weights(
                    self.model, self.settings, base_models=self.base_models, data=self.data, check_stop=state.check_stop
                )
        except Stopped:
            return state.cost(self.device, engine="frozen", train_seconds=0.0, flops=0.0, train_loss=None)
        return None

    def _by_cached_head(
        self, arguments: TrainingArguments, loss: TrainingLoss, resumed: dict[str, Any] | None
    ) -> Cost | None:
        """Train the head on vectors of the base. Return the cost; None where the head reads more
        than one vector a row."""
        features = cached_head.Features(
            self.base_models, unwrapped(self.model), self.settings, self.collate, self.state.check_stop
        )
        return cached_head.train(
            features, self.rows, self.held_out, loss=loss, state=self.state, best=self.best, arguments=arguments,
            resumed=resumed,
        )  # fmt: skip

    def _by_trainer(
        self,
        arguments: TrainingArguments,
        loss: TrainingLoss,
        resumed: dict[str, Any] | None,
        *,
        untrained: UntrainedState,
        as_packed: bool,
    ) -> Cost:
        checkpoints, check_stop = self.settings.trainer.gradient_checkpointing, self.state.check_stop
        trainer = ReportingTrainer(
            TrialCallback(
                self.state, evaluate=lambda: self.scored(self.held_out, partial(check_stop, unheard=UNHEARD))
            ),
            Replay(self.model, arguments.seed, recomputes=checkpoints) if as_packed else None,
            best=self.best,
            untrained=untrained,
            resumed=resumed,
            factors=self.settings.adapter.learning_rate_factors(),
            model=self.model,
            args=arguments,
            data_collator=self.answering,
            train_dataset=self.rows,
            compute_loss_func=training_loss(loss),
        )
        return reporting_trainer.train(trainer, self.device)


def _opened(trial: TrialPlan, model: nn.Module, device: torch.device) -> tuple[str, dict[str, Any] | None]:
    """Return the name of the engine that trains a trial, as in `Cost`, and the state of the
    trial's snapshot if it has one that `model` can be trained on from. A head that turned out to
    need more of the base than one vector a row goes on with the Trainer.
    """
    engines = ("frozen", "trainer") if cached_head.suits(trial.settings) else ("trainer",)
    resumed = suited(opened(trial, device, *engines), trial, dict(trainable_weights(model)))
    return engines[0] if resumed is None else resumed[ENGINE], resumed


def _finite(model: nn.Module) -> bool:
    return all(bool(weight.isfinite().all()) for weight in model.parameters() if weight.requires_grad)


@cache
def _freeze_imports() -> None:
    """Exclude imported modules from garbage collection: the Trainer collects garbage for every
    trial, and walking the modules of all these libraries takes a third of a second."""
    gc.collect()
    gc.freeze()
