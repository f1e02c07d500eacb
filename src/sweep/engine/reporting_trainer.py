"""The training loop of one trial by the Hugging Face Trainer."""

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
from sweep.engine.callback import TrialCallback
from sweep.engine.optimizers import scale_learning_rates, typed_class
from sweep.engine.order import GroupedByLength
from sweep.engine.packed.replay import Replay
from sweep.errors import first_line
from sweep.records.trial import Cost, FailureReason


class ReportingTrainer(transformers.Trainer):
    """The Trainer, except that the callback evaluates, and that the loss is not left to the
    model's class. With `replay` the model's dropout is that of a packed trial."""

    def __init__(
        self,
        callback: TrialCallback,
        replay: Replay | None = None,
        *,
        factors: Mapping[str, float] = MappingProxyType({}),
        **options: Any,
    ) -> None:
        """`factors` are multiples of the learning rate by a part of the names of weights."""
        super().__init__(callbacks=[callback], **options)
        self.trial_state, self.replay, self.factors = callback.trial, replay, factors
        self.remove_callback(PrinterCallback)
        self.model_accepts_loss_kwargs = False

    def create_optimizer(self, *args: Any) -> Any:
        made = self.optimizer is None
        optimizer = super().create_optimizer(*args)
        if made:
            scale_learning_rates(optimizer, cast(nn.Module, self.model), self.factors)
        return optimizer

    def _get_train_sampler(self, *args: Any) -> Any:
        """Return the sampler of every engine where rows are grouped by length: its generator is
        not the one that dropout draws from. Lengths come as a list: a `datasets` column looks each
        one up in its file, for every comparison of a sort."""
        sampler = super()._get_train_sampler(*args)
        if isinstance(sampler, LengthGroupedSampler):
            return GroupedByLength(sampler.batch_size, sampler.lengths[:], self.args.seed)
        return sampler

    def training_step(self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Tensor:
        rows = len(inputs["labels"])
        if self.replay is not None:
            self.replay.next_batch(inputs["attention_mask"].to(self.args.device))
        loss: Tensor = super().training_step(model, inputs, *args, **kwargs)
        self.trial_state.on_batch(rows, loss)
        return loss

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Return the validation loss alone, for schedules that go by it; NaN where it was not
        finite, which ends the trial."""
        self.to_evaluation_weights()
        before = len(self.trial_state.evals)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics={})
        found = self.trial_state.evals[before:]
        return {"eval_loss": found[-1].metrics["eval/loss"] if found else math.nan}

    def to_evaluation_weights(self) -> None:
        """Switch an optimizer that keeps other weights for training to those for evaluation; the
        Trainer switches back before it trains on."""
        switch = getattr(self.optimizer, "eval", None)
        if callable(switch):
            switch()

    @staticmethod
    def get_optimizer_cls_and_kwargs(args: Any, model: Any = None) -> tuple[Any, Any]:
        return typed_class(args, model)


def train(trainer: ReportingTrainer, device: torch.device) -> Cost:
    """Train to the end, and return what it cost. Running out of memory fails the trial; `flops` is
    the Trainer's estimate, 6 for each weight and token."""
    state, output = trainer.trial_state, None
    try:
        output = trainer.train()
        trainer.to_evaluation_weights()
    except (RuntimeError, MemoryError) as error:
        if not memory.out_of_memory(error):
            raise
        state.fail(FailureReason.OUT_OF_MEMORY, f"after step {state.step}: {first_line(error)}")
    finally:
        if trainer.replay is not None:
            trainer.replay.over()
    training = state.clock.training()
    trainer.optimizer = trainer.lr_scheduler = None
    if output is None:
        memory.release(device)
    trainer.store_flos()
    return state.cost(
        device,
        engine="trainer",
        train_seconds=training,
        flops=float(trainer.state.total_flos),
        train_loss=None if output is None else state.mean_loss(),
    )
