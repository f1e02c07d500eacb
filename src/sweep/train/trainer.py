"""The reference engine: one trial at a time, trained by the Hugging Face Trainer."""

from __future__ import annotations

import gc
import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_pt_utils import LengthGroupedSampler

from sweep.data.collate import collator
from sweep.data.tokenise import TokenisedData
from sweep.model import artifact
from sweep.model.bench import Bench
from sweep.records import Cost, EvalPoint, Failed, FailureReason, Outcome, Step, TrialPlan, Verdict
from sweep.steps import evaluation_interval
from sweep.train import memory
from sweep.train.arguments import training_arguments
from sweep.train.best import Best
from sweep.train.callbacks import OnEval, OnStep, Reporting
from sweep.train.course import Clock, Course
from sweep.train.evaluation import Predictions, predict
from sweep.train.loss import mean_loss, training_loss


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
        _settle()
        while (trial := next_trial()) is not None:
            outcome = self._train(trial, on_step, on_eval)
            memory.release(self.bench.device)
            on_end(trial, outcome)

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
        return Failed(FailureReason.OUT_OF_MEMORY, message, evals=(), cost=Cost(seconds=clock.total()))


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
    config, clock, device = trial.config, Clock(), bench.device
    memory.reset_peaks(device)
    tokenizer, labels = bench.tokenizer(config.model), data.splits.labels
    prompt = bench.prompt(config, labels)
    rows = data.train(tokenizer, config.dataset.max_length, prompt)
    held_out = data.validation(tokenizer, config.dataset.max_length, prompt)
    collate, size = collator(tokenizer, labels), config.trainer.per_device_eval_batch_size
    with bench.model(config, labels) as model, tempfile.TemporaryDirectory(prefix="sweep-") as folder:
        scored = partial(predict, model, collate=collate, batch_size=size, loss=mean_loss(config))
        best = Best(model, partial(artifact.save, model, tokenizer, config=config, labels=labels), best_dir)
        reporting = Reporting(
            course=Course(config),
            clock=clock,
            interval=evaluation_interval(len(rows), config.trainer),
            evaluate=partial(scored, held_out),
            keep=best.keep,
            on_step=on_step,
            on_eval=on_eval,
        )
        trainer = ReportingTrainer(
            reporting,
            model=model,
            args=training_arguments(config, device, Path(folder)),
            data_collator=collator(tokenizer, labels, answers=prompt is not None),
            train_dataset=rows,
            compute_loss_func=training_loss(config),
        )
        cost = _train(trainer, reporting, device)
        best.restore()
        yield Trained(reporting.course.outcome(cost), model=model, tokenizer=tokenizer, predict=scored)


class ReportingTrainer(transformers.Trainer):
    """The Trainer, except that evaluating is the callback's, and that no loss is left to the model's class."""

    def __init__(self, reporting: Reporting, **options: Any) -> None:
        super().__init__(callbacks=[reporting], **options)
        self.reporting = reporting
        self.remove_callback(PrinterCallback)
        self.model_accepts_loss_kwargs = False

    def _get_train_sampler(self, *args: Any) -> Any:
        """With lengths as a list: a `datasets` column looks each one up in its file, for every comparison of a sort."""
        sampler = super()._get_train_sampler(*args)
        if isinstance(sampler, LengthGroupedSampler):
            sampler.lengths = sampler.lengths[:]
        return sampler

    def training_step(self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Tensor:
        rows = len(inputs["labels"])
        loss: Tensor = super().training_step(model, inputs, *args, **kwargs)
        self.reporting.batch_done(rows, loss)
        return loss

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics={})
        return {}


def _train(trainer: ReportingTrainer, reporting: Reporting, device: torch.device) -> Cost:
    course, clock, output = reporting.course, reporting.clock, None
    try:
        output = trainer.train()
    except (RuntimeError, MemoryError) as error:
        if not memory.out_of_memory(error):
            raise
        course.fail(FailureReason.OUT_OF_MEMORY, f"after step {trainer.state.global_step}: {_first_line(error)}")
    training = clock.training()
    trainer.optimizer = trainer.lr_scheduler = None
    if output is None:
        memory.release(device)
    trainer.store_flos()
    return Cost(
        seconds=clock.total(),
        train_seconds=training,
        eval_seconds=clock.evaluating,
        steps=trainer.state.global_step,
        samples=course.samples,
        flops=float(trainer.state.total_flos),
        train_loss=output.training_loss if output is not None and math.isfinite(output.training_loss) else None,
        peak_host_bytes=memory.peak_host_bytes(),
        peak_device_bytes=memory.peak_device_bytes(device),
    )


@cache
def _settle() -> None:
    """Take what is imported out of the garbage collector's sight: the Trainer collects garbage for every trial, and
    walking the modules of all these libraries takes a third of a second."""
    gc.collect()
    gc.freeze()


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
