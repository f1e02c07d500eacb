"""A trial's training loop by the Hugging Face Trainer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

import torch
import transformers
from torch import Tensor, nn
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_pt_utils import LengthGroupedSampler

from sweep.engine import memory
from sweep.engine.callback import Reporting
from sweep.engine.optimizers import scale_learning_rates, typed_class
from sweep.engine.order import GroupedByLength
from sweep.engine.packed.replay import Replay
from sweep.errors import first_line
from sweep.records.trial import Cost, FailureReason


class ReportingTrainer(transformers.Trainer):
    """The Trainer, except that evaluating is the callback's, and that no loss is left to the model's class. With `replay` the
    model drops what it would drop in a pack."""

    def __init__(
        self,
        reporting: Reporting,
        replay: Replay | None = None,
        *,
        factors: Mapping[str, float] = MappingProxyType({}),
        **options: Any,
    ) -> None:
        """`factors` are multiples of the learning rate by a part of the names of weights."""
        super().__init__(callbacks=[reporting], **options)
        self.reporting, self.replay, self.factors = reporting, replay, factors
        self.remove_callback(PrinterCallback)
        self.model_accepts_loss_kwargs = False

    def create_optimizer(self, *args: Any) -> Any:
        made = self.optimizer is None
        optimizer = super().create_optimizer(*args)
        if made:
            scale_learning_rates(optimizer, cast(nn.Module, self.model), self.factors)
        return optimizer

    def _get_train_sampler(self, *args: Any) -> Any:
        """Where rows are grouped by length, the order of every engine: its generator is not the one that dropout draws from.
        Lengths come as a list: a `datasets` column looks each one up in its file, for every comparison of a sort."""
        sampler = super()._get_train_sampler(*args)
        if isinstance(sampler, LengthGroupedSampler):
            return GroupedByLength(sampler.batch_size, sampler.lengths[:], self.args.seed)
        return sampler

    def training_step(self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Tensor:
        rows = len(inputs["labels"])
        if self.replay is not None:
            self.replay.next_batch(inputs["attention_mask"].to(self.args.device))
        loss: Tensor = super().training_step(model, inputs, *args, **kwargs)
        self.reporting.batch_done(rows, loss)
        return loss

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """The validation loss alone, for schedules that go by it; NaN where it was not finite, which ends the trial."""
        self.to_evaluation_weights()
        before = len(self.reporting.course.evals)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics={})
        found = self.reporting.course.evals[before:]
        return {"eval_loss": found[-1].metrics["eval/loss"] if found else math.nan}

    def to_evaluation_weights(self) -> None:
        """Of optimizers that keep other weights for training; the Trainer goes back to those before it trains on."""
        switch = getattr(self.optimizer, "eval", None)
        if callable(switch):
            switch()

    @staticmethod
    def get_optimizer_cls_and_kwargs(args: Any, model: Any = None) -> tuple[Any, Any]:
        return typed_class(args, model)


def train(trainer: ReportingTrainer, device: torch.device) -> Cost:
    """Memory that runs out fails the trial; `flops` is the Trainer's estimate, 6 for each weight and token."""
    reporting, output = trainer.reporting, None
    try:
        output = trainer.train()
        trainer.to_evaluation_weights()
    except (RuntimeError, MemoryError) as error:
        if not memory.out_of_memory(error):
            raise
        step = f"after step {trainer.state.global_step}"
        reporting.course.fail(FailureReason.OUT_OF_MEMORY, f"{step}: {first_line(error)}")
    finally:
        if trainer.replay is not None:
            trainer.replay.over()
    training = reporting.clock.training()
    trainer.optimizer = trainer.lr_scheduler = None
    if output is None:
        memory.release(device)
    trainer.store_flos()
    return reporting.cost(
        device,
        engine="trainer",
        train_seconds=training,
        steps=trainer.state.global_step,
        flops=float(trainer.state.total_flos),
        train_loss=None if output is None else output.training_loss,
    )
