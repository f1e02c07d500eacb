"""The passes of one packed model: a training batch of each slot, or the validation rows that the
slots share."""

from __future__ import annotations

from collections.abc import Sequence
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


def score_pass(model: PackedModel, slots: Sequence[Slot], *, tokens: int) -> list[Tensor]:
    """Return the scores of each slot for all rows of the validation split that they share, (rows,
    labels), in the rows' order. A forward pass has at most so many `tokens`."""
    rows = slots[0].validation.rows
    order = slots[0].validation.longest_first
    ordered: list[Row] = [rows[row] for row in order]
    at_most = min(slot.settings.trainer.per_device_eval_batch_size for slot in slots)
    model.train(False)
    for slot in slots:
        slot.adapters.train(False)
    found: list[list[Tensor]] = [[] for _ in slots]
    with torch.no_grad(), autocast(slots[0].settings.trainer, model.device):
        model.load([slot.adapters for slot in slots])
        for part in chunks(ordered, at_most=at_most, tokens=max(tokens // len(slots), 1)):
            vectors = model.vectors(model.batch([ordered[part]] * len(slots)))
            for logits, slot, one in zip(found, slots, vectors[: len(slots)], strict=True):
                logits.append(wide(slot.adapters.head(one)))
    model.clear()
    back = torch.empty(len(order), dtype=torch.long)
    back[torch.tensor(order)] = torch.arange(len(order))
    return [torch.cat(logits)[back.to(model.device)] for logits in found]
