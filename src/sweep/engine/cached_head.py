"""A trial's training loop over a frozen base: the head alone, on vectors that are computed once for a study.

It follows the Trainer's course step by step: the same order of rows, the same optimizer, schedule and clipping, the same
random numbers for the head's dropout. The base is in evaluation mode, without dropout of its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, TrainingArguments

from sweep.config.optimizers import needs_trainer
from sweep.config.schema import Config
from sweep.data.collate import label_tensor
from sweep.data.tokenise import name_of
from sweep.engine import memory
from sweep.engine.arguments import autocast
from sweep.engine.callback import Reporting
from sweep.engine.evaluation import Collator, Predictions, judged
from sweep.engine.loss import mean_loss, summed, wide
from sweep.engine.updates import Updates
from sweep.errors import first_line
from sweep.model.base_model_cache import BaseModelCache
from sweep.model.features import HeadModel, NotPackable, states
from sweep.provenance import Fingerprint
from sweep.records.trial import Cost, FailureReason, Step

logger = logging.getLogger(__name__)

_ROWS_AT_ONCE = 4096  # of vectors, in an evaluation
_WORTH_SHARING = 2**24  # multiplications in a batch; below, threads wait for each other longer than they work


class Halted(Exception):
    """The study ended the trial while its features were computed."""


@dataclass(frozen=True, slots=True)
class Split:
    """`states` are (rows, width), `labels` as a collator gives them, both on the device; `lengths` are in tokens."""

    states: Tensor
    labels: Tensor
    lengths: Sequence[int]


@dataclass(slots=True)
class Features:
    """Makes the splits of one trial. `tokens` counts those that went through the base, because no cache had them.

    `heed` is asked after each batch, and raises Halted where the study wants the trial to end.
    """

    base_models: BaseModelCache
    model: PreTrainedModel
    config: Config
    collate: Collator
    heed: Callable[[], None]
    tokens: int = 0

    def split(self, rows: Any) -> Split:
        """Of a tokenised dataset. Raises `sweep.model.features.Unsuited` where the head cannot be trained so."""
        device, lengths = self.base_models.device, list(rows["length"][:])
        found = self.base_models.features.get(
            self._base(), name_of(rows), len(lengths), device, lambda: self._compute(rows, lengths)
        )
        return Split(found, label_tensor(rows["labels"][:], self.config.dataset.task).to(device), lengths)

    def derived(self, rows: Any, what: str, compute: Callable[[], Tensor]) -> Tensor:
        """What is made of the vectors of `rows`, and of all else that `what` names; kept in memory."""
        return self.base_models.features.derived(self._base(), name_of(rows), what, compute)

    def _base(self) -> str:
        digest = Fingerprint().add(self.base_models.fingerprint()).add(repr(self.base_models.head))
        digest.add(self.base_models.device.type).add(f"{self.config.trainer.in_bf16} {self.config.trainer.fp16}")
        digest.add(str(self.config.trainer.per_device_eval_batch_size))  # padding tells in the last digits
        for package in ("torch", "transformers", "bitsandbytes"):
            digest.add(metadata.version(package))
        return digest.hex()

    def _compute(self, rows: Any, lengths: list[int]) -> Tensor:
        order = np.argsort(-np.asarray(lengths), kind="stable")
        with autocast(self.config.trainer, self.base_models.device):
            parts = []
            for part in states(self.model, self._batches(rows, order), self.base_models.head):
                parts.append(part)
                self.heed()
        self.tokens += sum(lengths)
        return torch.cat(parts)[torch.from_numpy(np.argsort(order)).to(parts[0].device)]

    def _batches(self, rows: Any, order: Any) -> Iterator[dict[str, Tensor]]:
        size = self.config.trainer.per_device_eval_batch_size
        for start in range(0, len(order), size):
            batch = self.collate(rows.__getitems__(order[start : start + size].tolist()))
            yield {name: value.to(self.base_models.device) for name, value in batch.items() if name != "labels"}


@dataclass(slots=True)
class FrozenLoop:
    head: HeadModel
    train: Split
    validation: Split | None  # None where nothing is evaluated
    config: Config
    updates: Updates

    def run(self) -> None:
        """Train to the end, or to what ends the trial; raises what running out of memory raises."""
        self.updates.reporting.evaluate = self.evaluate
        self.updates.begin()
        for batches in self.updates.steps():
            self._gradients(batches)
            if self.updates.update():
                self.updates.evaluate()

    def evaluate(self) -> Predictions:
        assert self.validation is not None, "only what has rows to be scored on is evaluated"
        started, device = time.perf_counter(), self.validation.states.device
        self.head.eval()
        with torch.no_grad(), autocast(self.config.trainer, device):
            scores = torch.cat([wide(self.head(part)) for part in torch.split(self.validation.states, _ROWS_AT_ONCE)])
        return judged(scores.cpu(), self.validation.labels.cpu(), loss=mean_loss(self.config), started=started)

    def _gradients(self, batches: list[list[int]]) -> None:
        device, smoothing = self.train.states.device, self.config.trainer.label_smoothing_factor
        places = [torch.tensor(rows, device=device) for rows in batches]
        labels = [self.train.labels[rows] for rows in places]
        items = sum(given.numel() for given in labels)
        if not self.head.classifier.training:  # setting it again would walk all modules, at every step
            self.head.train()
        for rows, given in zip(places, labels, strict=True):
            with autocast(self.config.trainer, device):
                scores = wide(self.head(self.train.states[rows]))
            loss = summed(self.config.dataset.task, scores, given, smoothing=smoothing) / items
            loss.backward()  # type: ignore[no-untyped-call]
            self.updates.took(len(rows), loss.detach())


def suits(config: Config) -> bool:
    """With fp16 gradients are scaled, which is left to the Trainer, as some optimizers and schedules are; label words have no
    head."""
    if config.trainer.fp16 or needs_trainer(config.optimizer):
        return False
    return config.adapter.trains == "head" and config.prompt is None


def train(
    features: Features, rows: Any, held_out: Any, *, reporting: Reporting, arguments: TrainingArguments
) -> Cost | None:
    """None, with nothing trained, where the head needs more of the base than one vector a row. `held_out` is None where
    nothing is evaluated.

    Memory that runs out fails the trial. The trial that computes the features pays for them: their time is in `seconds`
    alone, and `flops` holds 2 for each frozen weight and token that went through the base, beside 6 for each trained
    weight and row.
    """
    loop, course = None, reporting.course
    try:
        head, train_split = HeadModel(features.model), features.split(rows)
        updates = Updates(
            head.classifier, features.config, arguments, reporting, train_split.lengths, features.base_models.device
        )
        validation = None if held_out is None else features.split(held_out)
        loop = FrozenLoop(head, train_split, validation, features.config, updates)
        with _few_threads(updates):
            loop.run()
    except Halted:
        pass
    except NotPackable as error:
        _say(f"{error}: the Trainer trains it with the base, row by row")
        return None
    except (RuntimeError, MemoryError) as error:
        if not memory.out_of_memory(error):
            raise
        step = loop.updates.state.global_step if loop else 0
        course.fail(FailureReason.OUT_OF_MEMORY, f"after step {step}: {first_line(error)}")
    training = reporting.clock.training()
    trained = reporting.trained_parameters
    base = features.model.num_parameters(exclude_embeddings=True) - trained
    return reporting.cost(
        features.base_models.device,
        engine="frozen",
        train_seconds=training,
        steps=loop.updates.state.global_step if loop else 0,
        flops=6.0 * course.samples * trained + 2.0 * features.tokens * base,
        train_loss=loop.updates.mean_loss() if loop else None,
    )


def heeding(reporting: Reporting, total: int) -> Callable[[], None]:
    """What `Features` asks after each batch: a step 0 goes to the study, whose verdict ends the trial."""

    def heed() -> None:
        reporting.course.obey(reporting.on_step(Step(0, total, 0.0, seconds=reporting.clock.total())), 0)
        if reporting.course.ended:
            raise Halted

    return heed


@contextmanager
def _few_threads(updates: Updates) -> Iterator[None]:
    threads = torch.get_num_threads()
    weights = sum(weight.numel() for weight in updates.weights)
    if updates.arguments.train_batch_size * weights < _WORTH_SHARING:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@cache
def _say(message: str) -> None:
    logger.warning(message)
