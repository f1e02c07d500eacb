"""A slot of a pack: one trial in training, with all that is its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from sweep.config.settings import TrainSettings
from sweep.engine.best_weights import Best
from sweep.engine.clock import SharedClock
from sweep.engine.evaluation import judged
from sweep.engine.limit_watch import LimitWatch
from sweep.engine.loss import mean_loss, wide
from sweep.engine.optimizer_steps import OptimizerSteps, StepBatches, StepTaken
from sweep.engine.packed.adapters import WeightGrad
from sweep.engine.packed.batch import Row
from sweep.engine.packed.noise import Noise
from sweep.engine.packed.packed_model import TrialAdapters
from sweep.engine.packed.table import Table
from sweep.engine.snapshot import ENGINE
from sweep.engine.training_loss import TrainingLoss
from sweep.engine.trial_state import TrialState
from sweep.model.account import unwrapped
from sweep.model.state import restore, trainable_weights
from sweep.records.trial import FailureReason, Outcome, TrialPlan


@dataclass(slots=True)
class Slot:
    """One trial of a pack.

    `sample` returns rows of the trial and the logits of its own model for them, by which a
    `PackedModel` is compared. `resources` are closed with the slot.
    """

    plan: TrialPlan
    settings: TrainSettings
    adapters: TrialAdapters
    train: Table
    validation: Table
    steps: OptimizerSteps
    state: TrialState
    best: Best
    clock: SharedClock
    resources: ExitStack
    training_loss: TrainingLoss
    sample: Callable[[], tuple[list[Row], Tensor]]
    watch: LimitWatch
    pending: list[list[int]] = field(default_factory=list)  # batches left of the present optimizer step
    epoch: float = 0.0  # at the end of that step
    items: int = 0  # labels in that step
    batches: int = 0  # done, over all steps
    tokens: int = 0  # in those batches
    _upcoming: Iterator[StepBatches] = field(init=False)

    def __post_init__(self) -> None:
        self._upcoming = self.steps.batches()

    @property
    def finished(self) -> bool:
        """Return whether the trial takes no further step and no further evaluation."""
        return self.state.finished and not self.state.evaluation_due

    @property
    def evaluation_due(self) -> bool:
        return self.state.evaluation_due

    @property
    def longest(self) -> int:
        """Return the length of the trial's longest row, in tokens."""
        return max(max(table.lengths, default=0) for table in (self.train, self.validation))

    def next_batch(self) -> list[int]:
        """Return the numbers of the rows that the trial trains on next."""
        if not self.pending:
            self._begin_step()
        return self.pending[0]

    def _begin_step(self) -> None:
        step = next(self._upcoming)
        self.pending, self.epoch = list(step.batches), step.epoch
        self.items = sum(self.train.labels[rows].numel() for rows in self.pending)

    @property
    def batch_tokens(self) -> int:
        """Return the number of tokens of the present batch."""
        return sum(len(self.train.rows[row]) for row in self.pending[0])

    @property
    def bytes(self) -> int:
        """Return what the trial keeps between steps, in bytes: weights, gradients, two moments of
        the optimizer, best weights."""
        return 5 * sum(weight.numel() * weight.element_size() for weight in self.steps.weights)

    def noise(self) -> Noise:
        """Return the source of dropout for the present batch; the head draws from it after the
        base."""
        drawn = Noise(self.steps.arguments.seed, self.batches, self.train.labels.device)
        for dropout in self.adapters.dropouts:
            dropout.noise = drawn
        return drawn

    def loss(self, vectors: Tensor, rows: Tensor) -> Tensor:
        """Return the part of the present batch in the loss of its optimizer step. `vectors` enter
        the head, (rows, width), and `rows` are the numbers of the rows."""
        scores = wide(self.adapters.head(vectors))
        return self.training_loss.summed(scores, self.train.labels[rows]) / self.items

    def learn(self, gradients: Sequence[WeightGrad]) -> StepTaken | None:
        """Add the gradients of the present batch and, if it is the last of its optimizer step,
        take that step. Return what was taken, or None. Several slots may do so in different
        threads. `finish_batch` must follow."""
        last = len(self.pending) == 1
        for weight, gradient in gradients:
            found = gradient.contiguous()  # the optimizers' kernels expect it
            if weight.grad is not None:
                found = weight.grad + found
            elif not last:
                found = found.clone()  # a graph's gradients hold until the next pass
            weight.grad = found
        return self.steps.step() if last else None

    def finish_batch(self, loss: Tensor, taken: StepTaken | None) -> bool:
        """Count the present batch, and report the optimizer step that it ended. Return True where
        an evaluation is due."""
        self.tokens += self.batch_tokens
        rows = self.pending.pop(0)
        self.batches += 1
        self.state.on_batch(len(rows), loss)
        if taken is None:
            return False
        if self.state.on_step(self.epoch):
            self.state.on_log(learning_rate=taken.rate, grad_norm=float(taken.norm))
        return self.state.evaluation_due

    def on_scores(self, scores: Tensor, *, started: float) -> None:
        """Take in an evaluation; `scores` are those of all validation rows, in their order."""
        loss = mean_loss(self.settings)
        self.state.on_eval(judged(scores.cpu(), self.validation.labels.cpu(), loss=loss, started=started))

    @property
    def flops(self) -> float:
        """Return the floating-point operations of all steps so far."""
        weights = unwrapped(self.adapters.model).num_parameters(exclude_embeddings=True)
        return 6.0 * weights * self.tokens

    def ask(self, *, unheard: float) -> None:
        """Ask the study whether the trial goes on, where it has given no verdict for so many
        seconds."""
        if not self.finished:
            self.state.ask(unheard=unheard)

    def fail(self, reason: FailureReason, message: str) -> None:
        self.state.fail(reason, f"after step {self.state.step}: {message}")

    def outcome(self) -> Outcome:
        """Restore the best weights, and return the trial's outcome."""
        with self.clock.set_aside():
            self.best.restore()
        cost = self.state.cost(
            self.train.labels.device,
            engine="packed",
            train_seconds=self.clock.training(),
            flops=self.flops,
            train_loss=self.state.mean_loss(),
        )
        return self.state.outcome(self.watch.measured_cost(cost))

    def offer_snapshot(self) -> None:
        """Report a snapshot where one is due, or the trial was interrupted: between two batches,
        in the middle of an optimizer step too."""
        self.state.offer_snapshot(self.state_dict)

    def state_dict(self) -> dict[str, Any]:
        """Return all of the trial but its `TrialState`. Of an optimizer step that is not complete
        the gradients are kept, and the number of batches left."""
        return {
            ENGINE: "packed",
            "weights": dict(trainable_weights(self.adapters.model)),
            "best": self.best.state_dict(),
            "steps": self.steps.state_dict(),
            "gradients": [weight.grad for weight in self.steps.weights],
            "left": len(self.pending),
            "batches": self.batches,
            "tokens": self.tokens,
            "flops": self.flops,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a snapshot's state. Weights are copied into those that are there, at their
        place in memory."""
        restore(self.adapters.model, state["weights"])
        self.best.load_state_dict(state["best"])
        self.steps.load_state_dict(state["steps"])
        self.state.load_state_dict(state["trial"])
        for weight, gradient in zip(self.steps.weights, state["gradients"], strict=True):
            weight.grad = gradient
        self.batches, self.tokens = state["batches"], state["tokens"]
        self._upcoming = self.steps.batches(self.state.step)
        if left := state["left"]:
            self._begin_step()
            del self.pending[:-left]

    def close(self) -> None:
        """Free the trial's model and optimizer."""
        self.steps.weights.clear()
        del self.steps.optimizer, self.steps.schedule
        self.resources.close()
