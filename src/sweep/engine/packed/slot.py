"""A trial's place in a pack: all that is its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sweep.config.schema import Task
from sweep.data.collate import collator, label_tensor
from sweep.data.tokenise import TokenisedData, name_of
from sweep.engine import cached_head
from sweep.engine.arguments import autocast, training_arguments
from sweep.engine.best import Best
from sweep.engine.callback import Reporting
from sweep.engine.evaluation import Predictions, judged
from sweep.engine.first_weights import set_first_weights
from sweep.engine.loss import mean_loss, summed, wide
from sweep.engine.packed.adapters import WeightGrad
from sweep.engine.packed.batch import Row
from sweep.engine.packed.noise import Noise
from sweep.engine.packed.packed_model import TrialAdapters
from sweep.engine.protocol import OnTrialEval, OnTrialStep
from sweep.engine.trial_state import ShareClock
from sweep.engine.updates import Stepped, Updates
from sweep.model.account import unwrapped
from sweep.model.base_model_cache import BaseModelCache
from sweep.model.features import NotPackable
from sweep.records.trial import FailureReason, Outcome, TrialPlan

_SAMPLE = 8  # rows, at most, by which a pack is compared with the model's own forward pass


@dataclass(frozen=True)
class Table:
    """A tokenised dataset in memory. `labels` are as a collator gives them, on the device."""

    rows: Sequence[Row]
    labels: Tensor
    dataset: Any

    @classmethod
    def of(cls, dataset: Any, task: Task, device: torch.device) -> Table:
        tokens = [np.asarray(row, dtype=np.int64) for row in dataset["input_ids"][:]]
        typed = "token_type_ids" in dataset.column_names
        types = (
            [np.asarray(row, dtype=np.int64) for row in dataset["token_type_ids"][:]] if typed else [None] * len(tokens)
        )
        labels = label_tensor(dataset["labels"][:], task).to(device)
        return cls([Row(*pair) for pair in zip(tokens, types, strict=True)], labels, dataset)

    @cached_property
    def lengths(self) -> list[int]:
        return [len(row) for row in self.rows]

    @cached_property
    def longest_first(self) -> list[int]:
        """The numbers of the rows."""
        return sorted(range(len(self.rows)), key=lambda row: -self.lengths[row])


@dataclass(slots=True)
class Slot:
    plan: TrialPlan
    passenger: TrialAdapters
    train: Table
    validation: Table
    updates: Updates
    best: Best
    clock: ShareClock
    stack: ExitStack
    sample: Callable[[], tuple[list[Row], Tensor]]
    ahead: float = 0.0  # floating-point operations before the first step
    waiting: list[list[int]] = field(default_factory=list)  # batches of the optimizer step in hand
    items: int = 0  # labels in it
    batches: int = 0  # that have gone through, over all steps
    tokens: int = 0
    course_of_steps: Iterator[list[list[int]]] = field(init=False)

    def __post_init__(self) -> None:
        self.course_of_steps = self.updates.steps()

    @property
    def reporting(self) -> Reporting:
        return self.updates.reporting

    @property
    def ended(self) -> bool:
        return self.updates.ended or self.reporting.course.ended

    @property
    def longest(self) -> int:
        """Of all its rows, in tokens."""
        return max(max(table.lengths, default=0) for table in (self.train, self.validation))

    def next_batch(self) -> list[int]:
        """The numbers of the rows that the trial trains on next."""
        if not self.waiting:
            self.waiting = list(next(self.course_of_steps))
            self.items = sum(self.train.labels[rows].numel() for rows in self.waiting)
        return self.waiting[0]

    @property
    def batch_tokens(self) -> int:
        """Of the batch in hand."""
        return sum(len(self.train.rows[row]) for row in self.waiting[0])

    @property
    def bytes(self) -> int:
        """What the trial keeps between steps: weights, gradients, the optimizer's two moments, and the best so far."""
        return 5 * sum(weight.numel() * weight.element_size() for weight in self.updates.weights)

    def noise(self) -> Noise:
        """For the batch that goes through next; its head draws from it after the base."""
        drawn = Noise(self.updates.arguments.seed, self.batches, self.train.labels.device)
        for dropout in self.passenger.dropouts:
            dropout.noise = drawn
        return drawn

    def loss(self, vectors: Tensor, rows: Tensor) -> Tensor:
        """The share that the batch in hand has in the loss of its optimizer step; `vectors` enter the head, (rows, width), and
        `rows` are the numbers of its rows."""
        config = self.plan.config
        scores = wide(self.passenger.head(vectors))
        labels = self.train.labels[rows]
        return summed(config.dataset.task, scores, labels, smoothing=config.trainer.label_smoothing_factor) / self.items

    def learn(self, gradients: Sequence[WeightGrad]) -> Stepped | None:
        """Take in what the batch in hand gives and, if it is the last of its optimizer step, that step. Seats may do so at the same
        time; `took` follows."""
        last = len(self.waiting) == 1
        for weight, gradient in gradients:
            found = gradient.contiguous()  # the optimizers' kernels take them for so
            if weight.grad is not None:
                found = weight.grad + found
            elif not last:
                found = found.clone()  # a graph's gradients hold until the next pass
            weight.grad = found
        return self.updates.step() if last else None

    def took(self, loss: Tensor, stepped: Stepped | None) -> bool:
        """The batch in hand is done; True where with it an evaluation is due."""
        self.tokens += self.batch_tokens
        rows = self.waiting.pop(0)
        self.batches += 1
        self.updates.took(len(rows), loss)
        return stepped is not None and self.updates.report(stepped)

    def evaluated(self, scores: Tensor, *, started: float) -> None:
        """`scores` are of all validation rows, in their order."""
        config = self.plan.config
        found = judged(scores.cpu(), self.validation.labels.cpu(), loss=mean_loss(config), started=started)
        self.reporting.evaluate = lambda: found
        self.updates.evaluate()

    def fail(self, reason: FailureReason, message: str) -> None:
        self.reporting.course.fail(reason, f"after step {self.updates.state.global_step}: {message}")

    def outcome(self) -> Outcome:
        with self.clock.set_aside():
            self.best.restore()
        weights = unwrapped(self.passenger.model).num_parameters(exclude_embeddings=True)
        cost = self.reporting.cost(
            self.train.labels.device,
            engine="packed",
            train_seconds=self.clock.training(),
            steps=self.updates.state.global_step,
            flops=6.0 * weights * self.tokens + self.ahead,
            train_loss=self.updates.mean_loss(),
        )
        return self.reporting.course.outcome(cost)

    def leave(self) -> None:
        self.updates.weights.clear()
        del self.updates.optimizer, self.updates.schedule
        self.stack.close()


@dataclass(slots=True)
class SlotFactory:
    """Makes seats. Tables are kept for as long as trials use the same rows."""

    base_models: BaseModelCache
    data: TokenisedData
    best_dir: Callable[[TrialPlan], Path | None]
    folder: Path
    tables: dict[str, Table] = field(default_factory=dict)

    def take(
        self,
        plan: TrialPlan,
        on_step: OnTrialStep,
        on_eval: OnTrialEval,
    ) -> Slot:
        """Raises Unsuited where a pack cannot carry the trial, and what running out of memory raises."""
        with ExitStack() as stack:
            seat = self._seat(plan, on_step, on_eval, stack)
            seat.stack = stack.pop_all()
        return seat

    def _seat(
        self,
        plan: TrialPlan,
        on_step: OnTrialStep,
        on_eval: OnTrialEval,
        stack: ExitStack,
    ) -> Slot:
        config, base_models, clock = plan.config, self.base_models, ShareClock()
        with clock.set_aside():
            tokenizer, labels = base_models.tokenizer(config.model), self.data.splits.labels
            train = self._table(self.data.train(tokenizer, config.dataset.max_length, None))
            held_out = self._table(self.data.validation(tokenizer, config.dataset.max_length, None))
            if min(*train.lengths, *held_out.lengths) < 1:
                raise NotPackable("a text has no token at all")
            model = stack.enter_context(base_models.model(config, labels))
            passenger = TrialAdapters(model)
            _refuse_uncarried(passenger)
            best = Best.of(model, tokenizer, config, labels, self.best_dir(plan))
            reporting = Reporting.of(
                config, clock, best, rows=len(train.rows), evaluate=_never,
                on_step=lambda step: on_step(plan, step), on_eval=lambda point: on_eval(plan, point),
            )  # fmt: skip
            try:
                heed = cached_head.heeding(reporting, plan.total_steps)
                ahead = set_first_weights(model, config, base_models=base_models, data=self.data, heed=heed)
            except cached_head.Halted:
                ahead = 0.0
            arguments = training_arguments(config, base_models.device, self.folder)
            updates = Updates(model, config, arguments, reporting, train.lengths, base_models.device)
            with torch.random.fork_rng([]):
                updates.begin()
        sample = partial(_sample, train, held_out, model, collator(tokenizer, labels), config)
        return Slot(plan, passenger, train, held_out, updates, best, clock, stack, sample, ahead)

    def _table(self, dataset: Any) -> Table:
        name = name_of(dataset)
        if name not in self.tables:
            self.tables[name] = Table.of(dataset, self.data.splits.labels.task, self.base_models.device)
        return self.tables[name]


def _refuse_uncarried(passenger: TrialAdapters) -> None:
    carried = {id(weight) for adapter in passenger.adapters.values() for weight in adapter.weights}
    carried |= {id(weight) for weight in passenger.head.parameters()}
    left = [
        name
        for name, weight in passenger.model.named_parameters()
        if weight.requires_grad and id(weight) not in carried
    ]
    if left:
        raise NotPackable(f"{left[0]} is trained inside the base")


def _sample(train: Table, held_out: Table, model: nn.Module, collate: Any, config: Any) -> tuple[list[Row], Tensor]:
    """Rows of different lengths, the longest of both tables among them, and their logits by the model's own forward pass: no
    more than an evaluation has at once, but two, since one agrees with anything."""
    count = max(min(_SAMPLE, config.trainer.per_device_eval_batch_size), 2)
    order = np.argsort(train.lengths, kind="stable")
    chosen = order[np.unique(np.linspace(0, len(order) - 1, count).astype(int))].tolist()
    batch, rows = train.dataset.__getitems__(chosen), [train.rows[row] for row in chosen]
    farthest = held_out.longest_first[0]
    if held_out.lengths[farthest] > train.lengths[chosen[-1]]:
        batch, rows = [*batch[:-1], *held_out.dataset.__getitems__([farthest])], [*rows[:-1], held_out.rows[farthest]]
    device = train.labels.device
    inputs = {name: value.to(device) for name, value in collate(batch).items() if name != "labels"}
    model.eval()
    with torch.no_grad(), autocast(config.trainer, device):
        logits: Tensor = model(**inputs).logits
    return rows, logits


def _never() -> Predictions:
    raise AssertionError("a pack evaluates its trials itself")
