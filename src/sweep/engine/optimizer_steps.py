"""The optimizer steps of one trial, in the Trainer's order and by its arithmetic: row order,
optimizer, schedule, clipping.

Every training loop but the Trainer's own uses it. Whoever holds the model computes the losses and
gradients.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from types import MappingProxyType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments, set_seed

from sweep.engine.optimizer_state import optimizer_state, set_optimizer_state
from sweep.engine.optimizers import made_schedule, scale_learning_rates, typed_class
from sweep.engine.order import row_order


@dataclass(frozen=True, slots=True)
class StepBatches:
    """The row numbers of each batch of one optimizer step, and the epoch, a fraction, that the
    step comes to."""

    batches: list[list[int]]
    epoch: float


@dataclass(frozen=True, slots=True)
class StepTaken:
    """An optimizer step: the norm of its gradients before clipping, and its learning rate."""

    norm: Tensor
    rate: float


@dataclass(slots=True)
class OptimizerSteps:
    """The optimizer steps of one trial: optimizer, schedule, and the `order` of its rows."""

    arguments: TrainingArguments
    weights: list[nn.Parameter]
    optimizer: Optimizer
    schedule: LRScheduler
    order: DataLoader[list[int]]

    @classmethod
    def begin(
        cls,
        model: nn.Module,
        arguments: TrainingArguments,
        lengths: Sequence[int],
        total_steps: int,
        *,
        factors: Mapping[str, float] = MappingProxyType({}),
    ) -> OptimizerSteps:
        """Return the steps of a trial on rows of these `lengths`, in tokens. Seeds the global
        generators, as the Trainer does. `factors` are multiples of the learning rate by a part of
        the names of weights."""
        set_seed(arguments.seed)
        order = row_order(lengths, arguments)
        optimizer = make_optimizer(model, arguments, factors)
        schedule = made_schedule(arguments, optimizer, total_steps)
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        return cls(arguments, weights, optimizer, schedule, order)

    def batches(self, done: int = 0) -> Iterator[StepBatches]:
        """Return the batches of one optimizer step after the other, epoch after epoch, without
        end. The first `done` steps are left out; the order of the others stays. The order of an
        epoch is drawn when its first step is asked for, or here where that is left out."""
        found = self._all_batches()
        for _ in range(done):
            next(found)
        return found

    def state_dict(self) -> dict[str, Any]:
        """Return the state of optimizer and schedule."""
        return {"optimizer": optimizer_state(self.optimizer), "schedule": self.schedule.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put a `state_dict` back."""
        set_optimizer_state(self.optimizer, state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])

    def _all_batches(self) -> Iterator[StepBatches]:
        accumulation = self.arguments.gradient_accumulation_steps
        for epoch in count():
            batches = list(self.order)
            for start in range(0, len(batches), accumulation):
                part = batches[start : start + accumulation]
                yield StepBatches(part, epoch + (start + len(part)) / len(batches))

    def step(self) -> StepTaken:
        """Clip the gradients and take an optimizer step. Return its learning rate and the norm
        before clipping. Touches nothing but the trial's own weights and optimizer, so that several
        trials can take their steps in different threads."""
        norm = nn.utils.clip_grad_norm_(self.weights, self.arguments.max_grad_norm or math.inf)
        self.optimizer.step()
        rate = float(self.schedule.get_last_lr()[0])
        self.schedule.step()
        self.optimizer.zero_grad()
        return StepTaken(norm, rate)


def make_optimizer(
    model: nn.Module, arguments: TrainingArguments, factors: Mapping[str, float] = MappingProxyType({})
) -> Optimizer:
    """Return the Trainer's optimizer, with its two groups: biases and norms do not decay.

    `factors` are multiples of the learning rate (see `scale_learning_rates`). AdamW is fused where
    it can be: the same arithmetic, where an adapter's many small weights cost more calls than
    work.
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
