"""The training loop of a trial that trains the head alone, on vectors of a frozen base that are
computed once for a study.

It follows the Trainer step by step: the same order of rows, the same optimizer, schedule and
clipping, the same random numbers for the head's dropout. The base is in evaluation mode, without
dropout of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, TrainingArguments

from sweep.config.optimizers import needs_trainer
from sweep.config.settings import TrainSettings
from sweep.data.collate import label_tensor
from sweep.data.tokenise import name_of
from sweep.engine import memory
from sweep.engine.arguments import autocast
from sweep.engine.best_weights import Best
from sweep.engine.evaluation import UNHEARD, Collator, Predictions, judged
from sweep.engine.loss import mean_loss, wide
from sweep.engine.optimizer_steps import OptimizerSteps
from sweep.engine.random_state import random_state, set_random_state
from sweep.engine.snapshot import ENGINE
from sweep.engine.training_loss import TrainingLoss
from sweep.engine.trial_state import Stopped, TrialState
from sweep.engine.warning import warn_once
from sweep.errors import first_line
from sweep.model.base_model_cache import BaseModelCache
from sweep.model.features import HeadModel, NotPackable, states
from sweep.model.state import restore, trainable_weights
from sweep.provenance import Fingerprint
from sweep.records.cost import Cost
from sweep.records.trial import FailureReason

_ROWS_AT_ONCE = 4096  # vectors in one forward pass of an evaluation
_WORTH_SHARING = 2**24  # multiplications in a batch; with fewer, threads wait longer than they work


@dataclass(frozen=True, slots=True)
class Split:
    """`states` are (rows, width), `labels` as a collator gives them, both on the device; `lengths`
    are in tokens."""

    states: Tensor
    labels: Tensor
    lengths: Sequence[int]


@dataclass(slots=True)
class Features:
    """Makes the splits of one trial. `tokens` counts those that went through the base, because no
    cache had their vectors.

    `check_stop` is called after each batch, and raises `Stopped` where the study ends the trial.
    """

    base_models: BaseModelCache
    model: PreTrainedModel
    settings: TrainSettings
    collate: Collator
    check_stop: Callable[[], None]
    tokens: int = 0

    def split(self, rows: Any) -> Split:
        """Return the vectors of a tokenised dataset. Raises NotPackable where the head reads more
        than one vector a row."""
        device, lengths = self.base_models.device, list(rows["length"][:])
        found = self.base_models.features.get(
            self._base(), name_of(rows), len(lengths), device, lambda: self._compute(rows, lengths)
        )
        return Split(found, label_tensor(rows["labels"][:], self.settings.task).to(device), lengths)

    def derived(self, rows: Any, name: str, compute: Callable[[], Tensor]) -> Tensor:
        """Return what `compute` makes of the vectors of `rows`. It is kept in memory under `name`,
        which must tell all else that it depends on."""
        return self.base_models.features.derived(self._base(), name_of(rows), name, compute)

    def _base(self) -> str:
        trainer = self.settings.trainer
        digest = Fingerprint().add(self.base_models.fingerprint()).add(repr(self.base_models.head))
        digest.add(self.base_models.device.type).add(f"{trainer.in_bf16} {trainer.fp16}")
        digest.add(str(trainer.per_device_eval_batch_size))  # padding changes the last digits
        for package in ("torch", "transformers", "bitsandbytes"):
            digest.add(metadata.version(package))
        return digest.hex()

    def _compute(self, rows: Any, lengths: list[int]) -> Tensor:
        order = np.argsort(-np.asarray(lengths), kind="stable")
        with autocast(self.settings.trainer, self.base_models.device):
            parts = []
            for part in states(self.model, self._batches(rows, order), self.base_models.head):
                parts.append(part)
                self.check_stop()
        self.tokens += sum(lengths)
        return torch.cat(parts)[torch.from_numpy(np.argsort(order)).to(parts[0].device)]

    def _batches(self, rows: Any, order: Any) -> Iterator[dict[str, Tensor]]:
        size = self.settings.trainer.per_device_eval_batch_size
        for start in range(0, len(order), size):
            batch = self.collate(rows.__getitems__(order[start : start + size].tolist()))
            yield {name: value.to(self.base_models.device) for name, value in batch.items() if name != "labels"}


@dataclass(slots=True)
class CachedHeadLoop:
    """The training of one head on vectors of the base, from its first step to its last."""

    head: HeadModel
    train: Split
    validation: Split | None  # None: nothing is evaluated
    loss: TrainingLoss
    steps: OptimizerSteps
    state: TrialState
    best: Best

    def run(self, resumed: Mapping[str, Any] | None = None) -> None:
        """Train to the last step, or until the trial is ended; from the state of a snapshot on
        where that is given. Raises what running out of memory raises."""
        state = self.state
        state.on_train_begin()
        batches = self.steps.batches(0 if resumed is None else resumed["trial"]["step"])
        if resumed is not None:
            self._load(resumed)
            self._evaluate_if_due()
            state.offer_snapshot(self._parts)  # the study may put the trial away for that evaluation
        while not state.finished:
            step = next(batches)
            self._pass(step.batches)
            taken = self.steps.step()
            if state.on_step(step.epoch):
                state.on_log(learning_rate=taken.rate, grad_norm=float(taken.norm))
            self._evaluate_if_due()
            state.offer_snapshot(self._parts)

    def _evaluate_if_due(self) -> None:
        if self.state.evaluation_due:
            try:
                with self.state.clock.on_evaluation():
                    found = self.evaluate()
            except Stopped:
                return  # the evaluation is left for later
            self.state.on_eval(found)

    def _parts(self) -> dict[str, Any]:
        return {
            ENGINE: "frozen",
            "flops": 6.0 * self.state.samples * self.state.trained_parameters,
            "weights": dict(trainable_weights(self.best.model)),
            "best": self.best.state_dict(),
            "steps": self.steps.state_dict(),
            "random": random_state(self.train.states.device),
        }

    def _load(self, resumed: Mapping[str, Any]) -> None:
        restore(self.best.model, resumed["weights"])
        self.best.load_state_dict(resumed["best"])
        self.steps.load_state_dict(resumed["steps"])
        self.state.load_state_dict(resumed["trial"])
        # Last: the order of the present epoch was drawn from the global generator.
        set_random_state(resumed["random"], self.train.states.device)

    def evaluate(self) -> Predictions:
        """Return the predictions for the validation split. Raises Stopped where the study ends the
        trial meanwhile."""
        assert self.validation is not None, "evaluations are due only where there are rows for them"
        started, device, settings = time.perf_counter(), self.validation.states.device, self.state.settings
        self.head.eval()
        with torch.no_grad(), autocast(settings.trainer, device):
            parts = []
            for rows in torch.split(self.validation.states, _ROWS_AT_ONCE):
                parts.append(wide(self.head(rows)))
                self.state.check_stop(unheard=UNHEARD)
        scores = torch.cat(parts)
        return judged(scores.cpu(), self.validation.labels.cpu(), loss=mean_loss(settings), started=started)

    def _pass(self, batches: list[list[int]]) -> None:
        """Send the batches of one optimizer step forward and backward."""
        settings, device = self.state.settings, self.train.states.device
        indices = [torch.tensor(rows, device=device) for rows in batches]
        labels = [self.train.labels[rows] for rows in indices]
        items = sum(batch.numel() for batch in labels)
        if not self.head.classifier.training:  # setting it again would walk all modules, at every step
            self.head.train()
        for rows, batch in zip(indices, labels, strict=True):
            with autocast(settings.trainer, device):
                scores = wide(self.head(self.train.states[rows]))
            loss = self.loss.summed(scores, batch) / items
            loss.backward()  # type: ignore[no-untyped-call]
            self.state.on_batch(len(rows), loss.detach())


def suits(settings: TrainSettings) -> bool:
    """Return whether this loop can train the trial. With fp16 gradients are scaled, which is left
    to the Trainer, as some optimizers and schedules are; label words have no head."""
    if settings.trainer.fp16 or needs_trainer(settings.optimizer):
        return False
    return settings.adapter.trains == "head" and settings.prompt is None


def train(
    features: Features,
    rows: Any,
    held_out: Any,
    *,
    loss: TrainingLoss,
    state: TrialState,
    best: Best,
    arguments: TrainingArguments,
    resumed: Mapping[str, Any] | None = None,
) -> Cost | None:
    """Train the head on the cached vectors of `rows`, and return what it cost. `held_out` is None
    where nothing is evaluated. Return None, with nothing trained, where the head needs more of the
    base than one vector a row.

    With the state of a snapshot (`resumed`) training goes on from there. Running out of memory
    fails the trial. The trial that computes the features pays for them:
    their time is in `seconds` alone, and `flops` holds 2 for each frozen weight and token that
    went through the base, beside 6 for each trained weight and row.
    """
    try:
        head = HeadModel(features.model)
        split, validation = _splits(features, rows, held_out, state)
        steps = OptimizerSteps.begin(
            head.classifier,
            arguments,
            split.lengths,
            state.steps.schedule,
            factors=features.settings.adapter.learning_rate_factors(),
        )
        with _few_threads(steps):
            CachedHeadLoop(head, split, validation, loss, steps, state, best).run(resumed)
    except Stopped:
        pass
    except NotPackable as error:
        warn_once(f"{error}: the Trainer trains it with the base, row by row")
        return None
    except (RuntimeError, MemoryError) as error:
        if not memory.out_of_memory(error):
            raise
        state.fail(FailureReason.OUT_OF_MEMORY, f"after step {state.step}: {first_line(error)}")
    training = state.clock.training()
    return state.cost(
        features.base_models.device,
        engine="frozen",
        train_seconds=training,
        flops=6.0 * state.samples * state.trained_parameters,
        train_loss=state.mean_loss(),
    )


def _splits(features: Features, rows: Any, held_out: Any, state: TrialState) -> tuple[Split, Split | None]:
    """Return the splits for training and for validation, and count what they took in `state`."""
    try:
        return features.split(rows), None if held_out is None else features.split(held_out)
    finally:
        base = features.model.num_parameters(exclude_embeddings=True) - state.trained_parameters
        state.flops_ahead += 2.0 * features.tokens * base


@contextmanager
def _few_threads(steps: OptimizerSteps) -> Iterator[None]:
    threads = torch.get_num_threads()
    weights = sum(weight.numel() for weight in steps.weights)
    if steps.arguments.train_batch_size * weights < _WORTH_SHARING:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
