"""The passes of one packed model: a training batch of each slot, or the validation rows that the
slots share."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from sweep.engine import memory
from sweep.engine.arguments import autocast
from sweep.engine.loss import wide
from sweep.engine.optimizer_steps import StepTaken
from sweep.engine.packed.adapters import WeightGrad
from sweep.engine.packed.batch import Row, chunks, upload
from sweep.engine.packed.packed_model import PackedModel
from sweep.engine.packed.slot import Slot


def train_pass(model: PackedModel, slots: Sequence[Slot]) -> list[tuple[Tensor, StepTaken | BaseException | None]]:
    """Train the present batch of each slot. Return for each its loss, and the optimizer step that
    the batch ends, or what that step raised; None where it ends none. No trial has changed when
    memory runs out before."""
    return [
        (loss, memory.tried(partial(slot.learn, gradients)))
        for slot, (loss, gradients) in zip(slots, _pass(model, slots), strict=True)
    ]


def _pass(model: PackedModel, slots: Sequence[Slot]) -> list[tuple[Tensor, list[WeightGrad]]]:
    """Run a forward and a backward pass. Return for each slot its loss, and the gradients of its
    weights."""
    for slot in slots:
        slot.adapters.train(True)
    model.train(True)
    model.load([slot.adapters for slot in slots])
    numbers = [slot.pending[0] for slot in slots]
    rows = [[slot.train.rows[row] for row in batch] for slot, batch in zip(slots, numbers, strict=True)]
    batch = model.batch(rows, [slot.noise() for slot in slots])
    counts = [len(own) for own in numbers]
    with autocast(slots[0].settings.trainer, model.device):
        forward = model.forward(batch)
        entering = forward.vectors.detach().requires_grad_()
        chosen = upload(np.concatenate(numbers), model.device)
        parts = zip(slots, torch.split(entering, counts), torch.split(chosen, counts), strict=True)
        losses = [slot.loss(vectors, own) for slot, vectors, own in parts]
    heads = [slot.adapters.head_weights for slot in slots]
    wanted = [entering, *(weight for weights in heads for weight in weights)]
    into, *own = torch.autograd.grad(losses, wanted, [torch.ones_like(loss) for loss in losses], allow_unused=True)
    of_adapters = model.weight_grads(forward.back(into))
    model.clear()
    rest = iter(own)
    of_heads = [list(zip(weights, islice(rest, len(weights)), strict=True)) for weights in heads]
    return [
        (loss.detach(), [*adapters, *((weight, one) for weight, one in head if one is not None)])
        for loss, adapters, head in zip(losses, of_adapters, of_heads, strict=True)
    ]


@dataclass(slots=True)
class Evaluation:
    """The scores of slots that share a validation split, as far as they are computed. A forward
    pass has at most so many `tokens`."""

    slots: Sequence[Slot]
    tokens: int
    rows: list[Row] = field(init=False)  # the longest first
    left: deque[slice] = field(init=False)  # of `rows`, each for a forward pass
    found: list[list[Tensor]] = field(init=False)  # of each slot, by forward pass

    def __post_init__(self) -> None:
        table = self.slots[0].validation
        self.rows = [table.rows[row] for row in table.longest_first]
        at_most = min(slot.settings.trainer.per_device_eval_batch_size for slot in self.slots)
        self.left = deque(chunks(self.rows, at_most=at_most, tokens=max(self.tokens // len(self.slots), 1)))
        self.found = [[] for _ in self.slots]

    @property
    def wanted(self) -> bool:
        """Return whether rows are left, and a trial that has not ended waits for them."""
        return bool(self.left) and any(slot.evaluation_due for slot in self.slots)

    def scores(self) -> list[Tensor]:
        """Return the scores of each slot, (rows, labels), in the rows' order."""
        order = torch.tensor(self.slots[0].validation.longest_first)
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order))
        return [torch.cat(logits)[back.to(logits[0].device)] for logits in self.found]

    def report(self, *, started: float) -> None:
        """Give each trial that has not ended its scores. `started` is when the evaluation began,
        by `time.perf_counter`."""
        for slot, scores in zip(self.slots, self.scores(), strict=True):
            if slot.evaluation_due:
                slot.on_scores(scores, started=started)


def score_pass(model: PackedModel, evaluation: Evaluation, *, seconds: float) -> None:
    """Go on with an evaluation for about so many `seconds`, or to its end."""
    slots, until = evaluation.slots, time.monotonic() + seconds
    model.train(False)
    for slot in slots:
        slot.adapters.train(False)
    with torch.no_grad(), autocast(slots[0].settings.trainer, model.device):
        model.load([slot.adapters for slot in slots])
        while evaluation.left:
            rows = evaluation.rows[evaluation.left.popleft()]
            vectors = model.vectors(model.batch([rows] * len(slots)))
            for logits, slot, one in zip(evaluation.found, slots, vectors[: len(slots)], strict=True):
                logits.append(wide(slot.adapters.head(one)))
            if time.monotonic() >= until:
                break
    model.clear()
