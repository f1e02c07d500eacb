"""A trial's training loop over a frozen base: the head alone, on vectors that are computed once for a study.

It follows the Trainer's course step by step: the same order of rows, the same optimizer, schedule and clipping, the same
random numbers for the head's dropout. The base is in evaluation mode, without dropout of its own.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from itertools import count
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers import (
    PreTrainedModel,
    Trainer,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    get_scheduler,
    set_seed,
)

from sweep.config.schema import Config, Task
from sweep.errors import first_line
from sweep.model.account import trained_head
from sweep.model.bench import Bench
from sweep.model.features import HeadModel, Unsuited, states
from sweep.provenance import Fingerprint
from sweep.records import Cost, FailureReason, Step
from sweep.steps import total_steps
from sweep.train import memory
from sweep.train.arguments import autocast
from sweep.train.callbacks import Reporting
from sweep.train.evaluation import Collator, Predictions, judged
from sweep.train.loss import mean_loss, summed
from sweep.train.order import row_order

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

    bench: Bench
    model: PreTrainedModel
    config: Config
    collate: Collator
    heed: Callable[[], None]
    tokens: int = 0

    def split(self, rows: Any) -> Split:
        """Of a tokenised dataset. Raises `sweep.model.features.Unsuited` where the head cannot be trained so."""
        device, lengths = self.bench.device, list(rows["length"][:])
        name = Path(rows.cache_files[0]["filename"]).stem  # a fingerprint of all that the tokens depend on
        found = self.bench.features.get(self._base(), name, len(lengths), device, lambda: self._compute(rows, lengths))
        kind = torch.float32 if self.config.dataset.task == "multi_label" else torch.long
        return Split(found, torch.tensor(rows["labels"][:], dtype=kind, device=device), lengths)

    def _base(self) -> str:
        digest = Fingerprint().add(self.bench.fingerprint()).add(repr(trained_head(self.model)))
        digest.add(self.bench.device.type).add(str(self.config.trainer.bf16))
        digest.add(str(self.config.trainer.per_device_eval_batch_size))  # padding tells in the last digits
        for package in ("torch", "transformers", "bitsandbytes"):
            digest.add(metadata.version(package))
        return digest.hex()

    def _compute(self, rows: Any, lengths: list[int]) -> Tensor:
        order = np.argsort(-np.asarray(lengths), kind="stable")
        with autocast(self.config.trainer, self.bench.device):
            parts = []
            for part in states(self.model, self._batches(rows, order)):
                parts.append(part)
                self.heed()
        self.tokens += sum(lengths)
        return torch.cat(parts)[torch.from_numpy(np.argsort(order)).to(parts[0].device)]

    def _batches(self, rows: Any, order: Any) -> Iterator[dict[str, Tensor]]:
        size = self.config.trainer.per_device_eval_batch_size
        for start in range(0, len(order), size):
            batch = self.collate(rows.__getitems__(order[start : start + size].tolist()))
            yield {name: value.to(self.bench.device) for name, value in batch.items() if name != "labels"}


@dataclass(slots=True)
class FrozenLoop:
    """Drives `reporting` as the Trainer drives its callbacks."""

    head: HeadModel
    train: Split
    validation: Split
    config: Config
    arguments: TrainingArguments
    reporting: Reporting
    state: TrainerState = field(default_factory=TrainerState)
    control: TrainerControl = field(default_factory=TrainerControl)
    loss: float = 0.0  # summed over steps
    unlogged: Tensor = field(init=False)
    logged_at: int = 0
    weights: list[nn.Parameter] = field(init=False)

    def __post_init__(self) -> None:
        self.weights = [weight for weight in self.head.parameters() if weight.requires_grad]
        self.unlogged = torch.tensor(0.0, device=self.train.states.device)
        self.reporting.evaluate = self.evaluate
        self.state.max_steps = total_steps(len(self.train.lengths), self.config)

    def run(self) -> None:
        """Train to the end, or to what ends the trial; raises what running out of memory raises."""
        arguments, classifier = self.arguments, self.head.classifier
        set_seed(arguments.seed)
        order = row_order(self.train.lengths, arguments)
        optimizer = make_optimizer(classifier, arguments)
        warmup = arguments.get_warmup_steps(self.state.max_steps)
        schedule = get_scheduler(arguments.lr_scheduler_type, optimizer, warmup, self.state.max_steps)
        self.reporting.on_train_begin()
        for epoch in count():
            for done, batches in _steps(list(order), arguments.gradient_accumulation_steps):
                latest = self._step(batches, optimizer, schedule)
                self.state.epoch = epoch + done
                self._report(latest)
                if self.control.should_training_stop or self.state.global_step >= self.state.max_steps:
                    return

    def evaluate(self) -> Predictions:
        started, device = time.perf_counter(), self.validation.states.device
        self.head.eval()
        with torch.no_grad(), autocast(self.config.trainer, device):
            scores = torch.cat([self.head(part).float() for part in torch.split(self.validation.states, _ROWS_AT_ONCE)])
        return judged(scores.cpu(), self.validation.labels.cpu(), loss=mean_loss(self.config), started=started)

    @property
    def _task(self) -> Task:
        return self.config.dataset.task

    def _step(self, batches: list[list[int]], optimizer: Optimizer, schedule: LRScheduler) -> dict[str, float]:
        device, smoothing = self.train.states.device, self.config.trainer.label_smoothing_factor
        places = [torch.tensor(rows, device=device) for rows in batches]
        labels = [self.train.labels[rows] for rows in places]
        items = sum(given.numel() for given in labels)
        if not self.head.classifier.training:  # setting it again would walk all modules, at every step
            self.head.train()
        for rows, given in zip(places, labels, strict=True):
            with autocast(self.config.trainer, device):
                scores = self.head(self.train.states[rows]).float()
            loss = summed(self._task, scores, given, smoothing=smoothing) / items
            loss.backward()  # type: ignore[no-untyped-call]
            self.reporting.batch_done(len(rows), loss.detach())
            self.unlogged += loss.detach()
        norm = nn.utils.clip_grad_norm_(self.weights, self.arguments.max_grad_norm or math.inf)
        optimizer.step()
        rate = float(schedule.get_last_lr()[0])
        schedule.step()
        optimizer.zero_grad()
        self.state.global_step += 1
        return {"grad_norm": float(norm), "learning_rate": rate}

    def _report(self, latest: dict[str, float]) -> None:
        """In the Trainer's order: the end of the step, what is logged of it, the evaluation."""
        given: Any = (self.arguments, self.state, self.control)
        self.control.should_log = self.state.global_step % self.arguments.logging_steps == 0
        self.control.should_evaluate = False
        self.reporting.on_step_end(*given)
        if self.control.should_log:
            mean = self._drain() / (self.state.global_step - self.logged_at)
            self.logged_at = self.state.global_step
            self.reporting.on_log(*given, logs={"loss": mean, **latest})
        if self.control.should_evaluate:
            self.reporting.on_evaluate(*given)

    def mean_loss(self) -> float | None:
        """The training loss, mean over steps."""
        self._drain()
        return self.loss / self.state.global_step if self.state.global_step else None

    def _drain(self) -> float:
        drained = self.unlogged.item()
        self.unlogged.zero_()
        self.loss += drained
        return drained


def suits(config: Config) -> bool:
    """With fp16 gradients are scaled, which is left to the Trainer; label words have no head."""
    return config.adapter.method == "head" and config.prompt is None and not config.trainer.fp16


def train(
    features: Features, rows: Any, held_out: Any, *, reporting: Reporting, arguments: TrainingArguments
) -> Cost | None:
    """None, with nothing trained, where the head needs more of the base than one vector a row.

    Memory that runs out fails the trial. The trial that computes the features pays for them: their time is in `seconds`
    alone, and `flops` holds 2 for each frozen weight and token that went through the base, beside 6 for each trained
    weight and row.
    """
    loop, course = None, reporting.course
    try:
        loop = FrozenLoop(
            HeadModel(features.model), features.split(rows), features.split(held_out),
            config=features.config, arguments=arguments, reporting=reporting,
        )  # fmt: skip
        with _few_threads(loop):
            loop.run()
    except Halted:
        pass
    except Unsuited as error:
        _say(f"{error}: the Trainer trains it with the base, row by row")
        return None
    except (RuntimeError, MemoryError) as error:
        if not memory.out_of_memory(error):
            raise
        step = loop.state.global_step if loop else 0
        course.fail(FailureReason.OUT_OF_MEMORY, f"after step {step}: {first_line(error)}")
    training = reporting.clock.training()
    trained = sum(weight.numel() for weight in features.model.parameters() if weight.requires_grad)
    base = features.model.num_parameters(exclude_embeddings=True) - trained
    return reporting.cost(
        features.bench.device,
        engine="frozen",
        train_seconds=training,
        steps=loop.state.global_step if loop else 0,
        flops=6.0 * course.samples * trained + 2.0 * features.tokens * base,
        train_loss=loop.mean_loss() if loop else None,
    )


def make_optimizer(classifier: PreTrainedModel, arguments: TrainingArguments) -> Optimizer:
    """The Trainer's, with its two groups: biases and norms do not decay."""
    kind, options = Trainer.get_optimizer_cls_and_kwargs(arguments, classifier)
    # The rule is a method of the Trainer, but reads nothing of one.
    decaying = Trainer.get_decay_parameter_names(cast(Any, None), classifier)
    weights = [(name, weight) for name, weight in classifier.named_parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for name, weight in weights if name in decaying], "weight_decay": arguments.weight_decay},
        {"params": [weight for name, weight in weights if name not in decaying], "weight_decay": 0.0},
    ]
    made: Optimizer = kind(groups, **options)
    return made


def heeding(reporting: Reporting, total: int) -> Callable[[], None]:
    """What `Features` asks after each batch: a step 0 goes to the study, whose verdict ends the trial."""

    def heed() -> None:
        reporting.course.obey(reporting.on_step(Step(0, total_steps=total, epoch=0.0)), 0)
        if reporting.course.ended:
            raise Halted

    return heed


@contextmanager
def _few_threads(loop: FrozenLoop) -> Iterator[None]:
    threads = torch.get_num_threads()
    weights = sum(weight.numel() for weight in loop.weights)
    if loop.arguments.train_batch_size * weights < _WORTH_SHARING:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _steps(batches: list[list[int]], accumulation: int) -> Iterator[tuple[float, list[list[int]]]]:
    """The batches of each optimizer step, and how much of the epoch is done after it."""
    for start in range(0, len(batches), accumulation):
        part = batches[start : start + accumulation]
        yield (start + len(part)) / len(batches), part


@cache
def _say(message: str) -> None:
    logger.warning(message)
