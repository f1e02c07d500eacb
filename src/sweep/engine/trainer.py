"""One trial, trained from its config to its outcome; and the engine that trains one after the other."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from torch import nn

from sweep.data.collate import collator
from sweep.data.tokenise import TokenisedData
from sweep.engine import cached_head, memory, reporting_trainer
from sweep.engine.arguments import autocast, training_arguments
from sweep.engine.best import Best
from sweep.engine.callback import OnEval, OnStep, Reporting
from sweep.engine.evaluation import Predictions, predict
from sweep.engine.first_weights import set_first_weights
from sweep.engine.loss import mean_loss, training_loss
from sweep.engine.packed.replay import Replay
from sweep.engine.protocol import NextTrial, OnTrialEnd, OnTrialEval, OnTrialStep
from sweep.engine.reporting_trainer import ReportingTrainer
from sweep.engine.trial_state import Clock, Course
from sweep.errors import first_line
from sweep.model.account import unwrapped
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.trial import Cost, Failed, FailureReason, Outcome, TrialPlan


@dataclass(frozen=True, slots=True)
class Trained:
    """A trial that has ended, while its model is still there.

    `model` holds its weights at the best evaluation, or, where there was none, as training left them. `predict`
    evaluates a tokenised dataset with them, under the precision that the trial was trained in.
    """

    course: Course
    cost: Cost
    model: nn.Module
    tokenizer: Any
    predict: Callable[[Any], Predictions]

    @property
    def outcome(self) -> Outcome:
        """Of a training that was evaluated; of any other there is `failed` alone."""
        return self.course.outcome(self.cost)

    @property
    def failed(self) -> Failed | None:
        return self.course.failed(self.cost)


@dataclass(frozen=True, slots=True)
class OneByOne:
    """An `Engine` with one slot. `best_dir` says where a trial's adapter is kept, None that it is not."""

    base_models: BaseModelCache
    data: TokenisedData
    best_dir: Callable[[TrialPlan], Path | None]

    def run(self, next_trial: NextTrial, on_step: OnTrialStep, on_eval: OnTrialEval, on_end: OnTrialEnd) -> None:
        _settle()
        while (trial := next_trial()) is not None:
            outcome = self._train(trial, on_step, on_eval)
            memory.release(self.base_models.device)
            on_end(trial, outcome)

    def _train(self, trial: TrialPlan, on_step: OnTrialStep, on_eval: OnTrialEval) -> Outcome:
        clock = Clock()
        try:
            with trained(
                trial,
                base_models=self.base_models,
                data=self.data,
                on_step=lambda step: on_step(trial, step),
                on_eval=lambda point: on_eval(trial, point),
                best_dir=self.best_dir(trial),
            ) as done:
                return done.outcome
        except (RuntimeError, MemoryError) as error:
            if not memory.out_of_memory(error):
                raise
            message = f"while loading the model: {first_line(error)}"
        return Failed(FailureReason.OUT_OF_MEMORY, message, evals=(), cost=Cost(seconds=clock.total()))


@contextmanager
def trained(
    trial: TrialPlan,
    *,
    base_models: BaseModelCache,
    data: TokenisedData,
    on_step: OnStep,
    on_eval: OnEval,
    best_dir: Path | None = None,
    evaluated: bool = True,
    as_packed: bool = False,
) -> Iterator[Trained]:
    """Train a trial to its end; its model is there until the context is left. One that is not `evaluated` reads no
    validation row, and ends after `trial.total_steps`, which may come before the end of its schedule. With
    `as_packed`, for a trial that a pack trained, dropout takes away the values that it took away there.

    Divergence, memory that runs out while training, and verdicts make an outcome. Everything else is raised, memory
    that runs out while the model is loaded included.
    """
    config, clock, device = trial.config, Clock(), base_models.device
    memory.reset_peaks(device)
    tokenizer, labels = base_models.tokenizer(config.model), data.splits.labels
    prompt = base_models.prompt(config, labels)
    rows = data.train(tokenizer, config.dataset.max_length, prompt)
    held_out = data.validation(tokenizer, config.dataset.max_length, prompt) if evaluated else None
    collate, size = collator(tokenizer, labels), config.trainer.per_device_eval_batch_size
    with base_models.model(config, labels) as model, base_models.temporary_folder() as folder:
        best = Best.of(model, tokenizer, config, labels, best_dir)

        def scored(dataset: Any) -> Predictions:
            with autocast(config.trainer, device):
                return predict(model, dataset, collate=collate, batch_size=size, loss=mean_loss(config))

        reporting = Reporting.of(
            config, clock, best, rows=len(rows), evaluate=lambda: scored(held_out), on_step=on_step, on_eval=on_eval,
            stop=None if evaluated else trial.total_steps,
        )  # fmt: skip
        arguments = training_arguments(config, device, Path(folder))
        heed, ahead, cost = cached_head.heeding(reporting, trial.total_steps), 0.0, None
        try:
            ahead = set_first_weights(model, config, base_models=base_models, data=data, heed=heed)
        except cached_head.Halted:
            cost = reporting.cost(device, engine="frozen", train_seconds=0.0, steps=0, flops=0.0, train_loss=None)
        if cost is None and cached_head.suits(config):
            features = cached_head.Features(base_models, unwrapped(model), config, collate, heed)
            cost = cached_head.train(features, rows, held_out, reporting=reporting, arguments=arguments)
        if cost is None:
            checkpoints = config.trainer.gradient_checkpointing
            replay = Replay(model, arguments.seed, recomputes=checkpoints) if as_packed else None
            trainer = ReportingTrainer(
                reporting,
                replay,
                factors=config.adapter.learning_rate_factors(),
                model=model,
                args=arguments,
                data_collator=collator(tokenizer, labels, answers=prompt is not None),
                train_dataset=rows,
                compute_loss_func=training_loss(config),
            )
            cost = reporting_trainer.train(trainer, device)
        best.restore()
        if not evaluated and not _finite(model):  # an evaluation would have told
            reporting.course.fail(FailureReason.DIVERGED, f"weights are not finite after step {cost.steps}")
        cost = replace(cost, flops=cost.flops + ahead)
        yield Trained(reporting.course, cost, model=model, tokenizer=tokenizer, predict=scored)


def _finite(model: nn.Module) -> bool:
    return all(bool(weight.isfinite().all()) for weight in model.parameters() if weight.requires_grad)


@cache
def _settle() -> None:
    """Take what is imported out of the garbage collector's sight: the Trainer collects garbage for every trial, and
    walking the modules of all these libraries takes a third of a second."""
    gc.collect()
    gc.freeze()
