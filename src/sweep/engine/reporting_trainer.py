"""The training loop of one trial by the Hugging Face Trainer."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import torch
import transformers
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_pt_utils import LengthGroupedSampler

from sweep.engine import memory
from sweep.engine.best import Best
from sweep.engine.callback import TrialCallback
from sweep.engine.evaluation import UNHEARD
from sweep.engine.optimizer_state import optimizer_state, set_optimizer_state
from sweep.engine.optimizers import scale_learning_rates, typed_class
from sweep.engine.order import GroupedByLength
from sweep.engine.packed.replay import Replay
from sweep.engine.random_state import random_state, set_random_state
from sweep.engine.running_loss import RunningLoss
from sweep.engine.snapshot import ENGINE
from sweep.engine.trial_state import Stopped
from sweep.errors import first_line
from sweep.model.state import UntrainedState, restore, trainable_weights
from sweep.records.cost import Cost
from sweep.records.trial import FailureReason

# Parts of the Trainer's state that no training depends on: they grow with each step, or are no plain values.
_LEFT_OUT = ("log_history", "stateful_callbacks")


@dataclass(frozen=True, slots=True)
class _Boundary:
    """The values that the batches of an optimizer step change before the step is taken, as they
    were after the step before."""

    samples: int
    loss: RunningLoss
    random: Mapping[str, Any]
    replayed: int
    flops: float


class ReportingTrainer(transformers.Trainer):
    """The Trainer, except that the callback evaluates, and that the loss is not left to the
    model's class. With `replay` the model's dropout is that of a packed trial."""

    def __init__(
        self,
        callback: TrialCallback,
        replay: Replay | None = None,
        *,
        best: Best,
        untrained: UntrainedState,
        resumed: Mapping[str, Any] | None = None,
        factors: Mapping[str, float] = MappingProxyType({}),
        **options: Any,
    ) -> None:
        """`factors` are multiples of the learning rate by a part of the names of weights. `best`
        and `untrained` go into snapshots too; with the state of one (`resumed`) training goes on
        from there.
        """
        super().__init__(callbacks=[callback], **options)
        self.trial_state, self.replay, self.factors = callback.trial, replay, factors
        self.best, self.untrained, self.resumed = best, untrained, resumed
        self._boundary: _Boundary | None = None  # where steps have several batches
        callback.take_up = self._take_up
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
            sampler = GroupedByLength(sampler.batch_size, sampler.lengths[:], self.args.seed)
            if self.resumed is not None:
                sampler.skip(int(self.resumed["trial"]["epoch"]))
        return sampler

    def training_step(self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Tensor:
        rows = len(inputs["labels"])
        if self._boundary is not None:
            self.trial_state.check_stop(unheard=UNHEARD)
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

    def _evaluate(self, *args: Any, **options: Any) -> dict[str, float]:
        """Return what `evaluate` does. Where the study ends the trial meanwhile, the schedule
        stays as it is: the evaluation is due again when the trial goes on.
        """
        try:
            found: dict[str, float] = super()._evaluate(*args, **options)
        except Stopped:
            self.control.should_training_stop = True
            return {"eval_loss": math.nan}
        return found

    def to_evaluation_weights(self) -> None:
        """Switch an optimizer that keeps other weights for training to those for evaluation; the
        Trainer switches back before it trains on."""
        switch = getattr(self.optimizer, "eval", None)
        if callable(switch):
            switch()

    @staticmethod
    def get_optimizer_cls_and_kwargs(args: Any, model: Any = None) -> tuple[Any, Any]:
        return typed_class(args, model)

    def checkpoint(self) -> str | None:
        """Return the folder that `train` goes on from, with the state of the Trainer itself; None
        where training begins. The methods below read the rest from `resumed`."""
        if self.resumed is None:
            return None
        folder = Path(cast(str, self.args.output_dir))
        (folder / TRAINER_STATE_NAME).write_text(json.dumps(self.resumed["trainer"]))
        return str(folder)

    def _save_checkpoint(self, *_: Any, **__: Any) -> None:
        """Called after each optimizer step, and what it logs and evaluates."""
        self.trial_state.offer_snapshot(self._parts)
        if self.trial_state.ended:  # it was put away
            self.control.should_training_stop = True
        self._note_boundary()

    def _note_boundary(self) -> None:
        """Note what `leave_step` puts back. Running means change with each batch, and are not."""
        if self.args.gradient_accumulation_steps > 1 and not self.untrained.state_dict():
            self.store_flos()
            self._boundary = _Boundary(
                samples=self.trial_state.samples,
                loss=self.trial_state.loss.copy(),
                random=random_state(self.args.device),
                replayed=0 if self.replay is None else self.replay.batches,
                flops=float(self.state.total_flos),
            )

    def leave_step(self) -> None:
        """Forget the batches of an optimizer step that is not complete, as the study has ended the
        trial meanwhile. Where it was interrupted, take a snapshot from before these batches."""
        assert self._boundary is not None, "the study is asked between batches only then"
        before, state = self._boundary, self.trial_state
        state.samples, state.loss = before.samples, before.loss
        set_random_state(before.random, self.args.device)
        if self.replay is not None:
            self.replay.batches = before.replayed
        self.state.total_flos, self.current_flos = before.flops, 0
        state.offer_snapshot(self._parts)

    def _parts(self) -> dict[str, Any]:
        self.store_flos()
        scaler = self.accelerator.scaler
        return {
            ENGINE: "trainer",
            "flops": float(self.state.total_flos),
            "weights": dict(trainable_weights(self._model)),
            "untrained": self.untrained.state_dict(),
            "best": self.best.state_dict(),
            "optimizer": optimizer_state(self._own_optimizer),
            "schedule": self._schedule.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
            "random": random_state(self.args.device),
            "trainer": {name: value for name, value in vars(self.state).items() if name not in _LEFT_OUT},
            "replayed": None if self.replay is None else self.replay.batches,
        }

    def _load_from_checkpoint(self, *_: Any) -> None:
        assert self.resumed is not None, "the Trainer goes on from a folder"
        self.untrained.load_state_dict(self.resumed["untrained"])
        restore(self._model, self.resumed["weights"])
        self.best.load_state_dict(self.resumed["best"])

    def _load_optimizer_and_scheduler(self, *_: Any) -> None:
        if self.resumed is not None:
            set_optimizer_state(self._own_optimizer, self.resumed["optimizer"])
            self._schedule.load_state_dict(self.resumed["schedule"])

    def _load_scaler(self, *_: Any) -> None:
        if self.resumed is not None and (scaler := self.accelerator.scaler) is not None:
            scaler.load_state_dict(self.resumed["scaler"])

    def _load_rng_state(self, *_: Any) -> None:
        """Called in the middle of an epoch after its order was drawn, and between two epochs
        before the next order is drawn: as it was when the state was saved.
        """
        if self.resumed is not None:
            set_random_state(self.resumed["random"], self.args.device)

    def _take_up(self) -> None:
        """Go on with the trial's own counts, and with the evaluation that the trial was stopped
        in."""
        if self.resumed is not None:
            self._go_on(self.resumed)
        self._note_boundary()

    def _go_on(self, resumed: Mapping[str, Any]) -> None:
        self.trial_state.load_state_dict(resumed["trial"])
        self._load_rng_state()
        if self.replay is not None:
            self.replay.batches = resumed["replayed"]
        if self.trial_state.evaluation_due:
            self._evaluate(None, None)
        if self.trial_state.finished or self.trial_state.put_away:
            self._save_checkpoint()

    def _run_epoch(self, *args: Any, **options: Any) -> None:
        """Train an epoch, unless the trial has ended where it was taken up: after its last step,
        or as the study put it away for the evaluation that it was stopped in."""
        if self.trial_state.finished:
            self.control.should_training_stop = True
            return
        super()._run_epoch(*args, **options)  # type: ignore[no-untyped-call]

    @property
    def _schedule(self) -> Any:
        return self.lr_scheduler

    @property
    def _model(self) -> nn.Module:
        return cast(nn.Module, self.model)

    @property
    def _own_optimizer(self) -> Optimizer:
        """Return the optimizer without what accelerate wraps around it."""
        return cast(Optimizer, getattr(self.optimizer, "optimizer", self.optimizer))


def train(trainer: ReportingTrainer, device: torch.device) -> Cost:
    """Train to the end, and return what it cost. Running out of memory fails the trial; `flops` is
    the Trainer's estimate, 6 for each weight and token."""
    state, no_memory = trainer.trial_state, False
    try:
        trainer.train(resume_from_checkpoint=trainer.checkpoint())
        trainer.to_evaluation_weights()
    except Stopped:
        trainer.leave_step()
    except (RuntimeError, MemoryError) as error:
        if not memory.out_of_memory(error):
            raise
        no_memory = True
        state.fail(FailureReason.OUT_OF_MEMORY, f"after step {state.step}: {first_line(error)}")
    finally:
        if trainer.replay is not None:
            trainer.replay.over()
    training = state.clock.training()
    trainer.optimizer = trainer.lr_scheduler = None
    if no_memory:
        memory.release(device)
    trainer.store_flos()
    return state.cost(
        device,
        engine="trainer",
        train_seconds=training,
        flops=float(trainer.state.total_flos),
        train_loss=None if no_memory else state.mean_loss(),
    )
