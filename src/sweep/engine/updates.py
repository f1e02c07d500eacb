"""A trial's own course through its rows, in the Trainer's order and by its arithmetic: which rows come next, the optimizer
and its schedule, and what is reported when. Whoever holds the model computes the losses and gradients."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from types import MappingProxyType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerControl, TrainerState, TrainingArguments, set_seed

from sweep.config.schema import Config
from sweep.config.steps import total_steps
from sweep.engine.callback import Reporting
from sweep.engine.optimizers import made_schedule, scale_learning_rates, typed_class
from sweep.engine.order import row_order


@dataclass(frozen=True, slots=True)
class Stepped:
    """An optimizer step: the norm of its gradients before clipping, and its learning rate."""

    norm: Tensor
    rate: float


@dataclass(slots=True)
class Updates:
    """Drives `reporting` as the Trainer drives its callbacks.

    `lengths` are of the training rows, in tokens.
    """

    model: nn.Module
    config: Config
    arguments: TrainingArguments
    reporting: Reporting
    lengths: Sequence[int]
    device: torch.device
    state: TrainerState = field(default_factory=TrainerState)
    control: TrainerControl = field(default_factory=TrainerControl)
    weights: list[nn.Parameter] = field(init=False)
    optimizer: Optimizer = field(init=False)
    schedule: LRScheduler = field(init=False)
    order: DataLoader[list[int]] = field(init=False)
    loss: float = 0.0  # summed over steps
    unlogged: Tensor = field(init=False)
    logged_at: int = 0

    def __post_init__(self) -> None:
        self.weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        self.unlogged = torch.tensor(0.0, device=self.device)
        self.state.max_steps = total_steps(len(self.lengths), self.config)

    def begin(self) -> None:
        """Seeds the global generators, as the Trainer does."""
        arguments = self.arguments
        set_seed(arguments.seed)
        self.order = row_order(self.lengths, arguments)
        self.optimizer = make_optimizer(self.model, arguments, self.config.adapter.learning_rate_factors())
        self.schedule = made_schedule(arguments, self.optimizer, self.state.max_steps)
        self.reporting.on_train_begin()

    def steps(self) -> Iterator[list[list[int]]]:
        """For each optimizer step the row numbers of its batches; between two of them `update` is due. Ends with the trial."""
        accumulation = self.arguments.gradient_accumulation_steps
        for epoch in count():
            batches = list(self.order)
            for start in range(0, len(batches), accumulation):
                part = batches[start : start + accumulation]
                self.state.epoch = epoch + (start + len(part)) / len(batches)
                yield part
                if self.ended:
                    return

    def took(self, rows: int, loss: Tensor) -> None:
        """A batch went forward and back: its share of the step's loss."""
        self.reporting.batch_done(rows, loss)
        self.unlogged += loss

    def update(self) -> bool:
        """Take the optimizer step and report it; True where an evaluation is due."""
        return self.report(self.step())

    def step(self) -> Stepped:
        """Touches nothing but the trial's own, so that trials can take theirs at the same time."""
        norm = nn.utils.clip_grad_norm_(self.weights, self.arguments.max_grad_norm or math.inf)
        self.optimizer.step()
        rate = float(self.schedule.get_last_lr()[0])
        self.schedule.step()
        self.optimizer.zero_grad()
        return Stepped(norm, rate)

    def report(self, done: Stepped) -> bool:
        """True where an evaluation is due."""
        given: Any = (self.arguments, self.state, self.control)
        self.state.global_step += 1
        self.control.should_log = self.state.global_step % self.arguments.logging_steps == 0
        self.control.should_evaluate = False
        self.reporting.on_step_end(*given)
        if self.control.should_log:
            mean = self._drain() / (self.state.global_step - self.logged_at)
            self.logged_at = self.state.global_step
            logs = {"loss": mean, "grad_norm": float(done.norm), "learning_rate": done.rate}
            self.reporting.on_log(*given, logs=logs)
        return self.control.should_evaluate

    def evaluate(self) -> None:
        self.reporting.on_evaluate(self.arguments, self.state, self.control)

    @property
    def ended(self) -> bool:
        return self.control.should_training_stop or self.state.global_step >= self.state.max_steps

    def mean_loss(self) -> float | None:
        """The training loss, mean over steps."""
        self._drain()
        return self.loss / self.state.global_step if self.state.global_step else None

    def _drain(self) -> float:
        drained = self.unlogged.item()
        self.unlogged.zero_()
        self.loss += drained
        return drained


def make_optimizer(
    model: nn.Module, arguments: TrainingArguments, factors: Mapping[str, float] = MappingProxyType({})
) -> Optimizer:
    """Return the Trainer's optimizer, with its two groups: biases and norms do not decay. `factors` are multiples of the
    learning rate (see `scale_learning_rates`).

    AdamW in one kernel: the same arithmetic, where an adapter's many small weights cost more calls than work.
    """
    kind, options = typed_class(arguments, model)
    # The rule is a method of the Trainer, but reads nothing of one.
    decaying = Trainer.get_decay_parameter_names(cast(Any, None), cast(Any, model))
    weights = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for name, weight in weights if name in decaying], "weight_decay": arguments.weight_decay},
        {"params": [weight for name, weight in weights if name not in decaying], "weight_decay": 0.0},
    ]
    if kind is torch.optim.AdamW and arguments.device.type in ("cpu", "cuda"):
        options["fused"] = True
    made: Optimizer = kind(groups, **options)
    scale_learning_rates(made, model, factors)
    return made
