"""The reference engine: one trial at a time, trained by the Hugging Face Trainer."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_pt_utils import LengthGroupedSampler
from transformers.trainer_utils import TrainOutput

from sweep.data.collate import collator
from sweep.data.tokenise import TokenisedData
from sweep.model.bench import Bench
from sweep.records import Cost, EvalPoint, Failed, FailureReason, Outcome, Step, TrialPlan, Verdict
from sweep.steps import evaluation_interval
from sweep.train import memory
from sweep.train.arguments import training_arguments
from sweep.train.best import Best
from sweep.train.callbacks import OnEval, OnStep, Reporting
from sweep.train.course import Clock, Course
from sweep.train.evaluation import Predictions, measure, predict
from sweep.train.loss import training_loss


@dataclass(frozen=True, slots=True)
class Trained:
    """A trial that has ended, while its model is still there.

    `model` holds its weights at the best evaluation, or, where there was none, as training left them. `predict`
    evaluates a tokenised dataset with them, under the precision that the trial was trained in.
    """

    outcome: Outcome
    model: nn.Module
    tokenizer: Any
    predict: Callable[[Any], Predictions]


@dataclass(frozen=True, slots=True)
class TrainerEngine:
    """An `Engine` with one slot. `best_dir` says where a trial's adapter is kept, None that it is not."""

    bench: Bench
    data: TokenisedData
    best_dir: Callable[[TrialPlan], Path | None]

    def run(
        self,
        next_trial: Callable[[], TrialPlan | None],
        on_step: Callable[[TrialPlan, Step], Verdict],
        on_eval: Callable[[TrialPlan, EvalPoint], Verdict],
        on_end: Callable[[TrialPlan, Outcome], None],
    ) -> None:
        while (trial := next_trial()) is not None:
            on_end(trial, self._train(trial, on_step, on_eval))

    def _train(
        self,
        trial: TrialPlan,
        on_step: Callable[[TrialPlan, Step], Verdict],
        on_eval: Callable[[TrialPlan, EvalPoint], Verdict],
    ) -> Outcome:
        clock = Clock()
        try:
            with trained(
                trial,
                bench=self.bench,
                data=self.data,
                on_step=lambda step: on_step(trial, step),
                on_eval=lambda point: on_eval(trial, point),
                best_dir=self.best_dir(trial),
            ) as done:
                return done.outcome
        except (RuntimeError, MemoryError) as error:
            if not memory.out_of_memory(error):
                raise
            message = f"while loading the model: {_first_line(error)}"
        memory.release(torch.device(self.bench.device))
        return Failed(FailureReason.OUT_OF_MEMORY, message, evals=(), cost=Cost(seconds=clock.total))


@contextmanager
def trained(
    trial: TrialPlan,
    *,
    bench: Bench,
    data: TokenisedData,
    on_step: OnStep,
    on_eval: OnEval,
    best_dir: Path | None = None,
) -> Iterator[Trained]:
    """Train a trial to its end; its model is there until the context is left.

    Divergence, memory that runs out while training, and verdicts make an outcome. Everything else is raised, memory
    that runs out while the model is loaded included.
    """
    config, clock, device = trial.config, Clock(), torch.device(bench.device)
    memory.reset_peaks(device)
    tokenizer = bench.tokenizer(config.model)
    labels, length = data.splits.labels, config.dataset.max_length
    rows, held_out = data.train(tokenizer, length), data.validation(tokenizer, length)
    collate = collator(tokenizer, labels)

    def scored(dataset: Any) -> Predictions:
        size = config.trainer.per_device_eval_batch_size
        return predict(model, dataset, collate=collate, batch_size=size, task=labels.task)

    with bench.model(config, labels) as model, tempfile.TemporaryDirectory(prefix="sweep-") as folder:
        course, best = Course(config), Best(model, tokenizer, config=config, labels=labels, folder=best_dir)
        reporting = Reporting(
            course, clock, interval=evaluation_interval(len(rows), config.trainer), on_step=on_step, on_eval=on_eval
        )
        trainer = Trainer(
            model=model,
            args=training_arguments(config, device, Path(folder)),
            data_collator=collate,
            train_dataset=rows,
            compute_loss_func=training_loss(labels.task, config.trainer.label_smoothing_factor),
            callbacks=[reporting],
            evaluation=lambda: _evaluate(scored(held_out), course, clock, best),
        )
        with trainer.wrapped():
            output = _run(trainer, course, clock)
            cost = _cost(trainer, course, clock, output)
            best.restore()
            yield Trained(course.outcome(cost), model=model, tokenizer=tokenizer, predict=scored)
