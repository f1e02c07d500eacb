"""What one carrier does for the seats of a pack: a batch of each trial forward and back, or the validation rows they share."""

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
from sweep.engine.packed.adapters import WeightGrad
from sweep.engine.packed.batch import Row, chunks, upload
from sweep.engine.packed.packed_model import PackedModel
from sweep.engine.packed.slot import Slot
from sweep.engine.updates import Stepped


def learn(carrier: PackedModel, seats: Sequence[Slot]) -> list[tuple[Tensor, Stepped | BaseException | None]]:
    """The batch in hand of each trial: its loss, and the optimizer step that it ends, or what that step raises. Nothing of a
    trial has changed when memory runs out before."""
    return [
        (loss, memory.tried(partial(seat.learn, gradients)))
        for seat, (loss, gradients) in zip(seats, _pass(carrier, seats), strict=True)
    ]


def _pass(carrier: PackedModel, seats: Sequence[Slot]) -> list[tuple[Tensor, list[WeightGrad]]]:
    """Forward and back: each trial's loss, and the gradients of its weights."""
    for seat in seats:
        seat.passenger.train(True)
    carrier.train(True)
    carrier.load([seat.passenger for seat in seats])
    numbers = [seat.waiting[0] for seat in seats]
    rows = [[seat.train.rows[row] for row in batch] for seat, batch in zip(seats, numbers, strict=True)]
    layout = carrier.layout(rows, [seat.noise() for seat in seats])
    counts = [len(batch) for batch in numbers]
    with autocast(seats[0].plan.config.trainer, carrier.device):
        forward = carrier.forward(layout)
        entering = forward.vectors.detach().requires_grad_()
        chosen = upload(np.concatenate(numbers), carrier.device)
        parts = zip(seats, torch.split(entering, counts), torch.split(chosen, counts), strict=True)
        losses = [seat.loss(vectors, batch) for seat, vectors, batch in parts]
    heads = [seat.passenger.head_weights for seat in seats]
    wanted = [entering, *(weight for weights in heads for weight in weights)]
    into, *own = torch.autograd.grad(losses, wanted, [torch.ones_like(loss) for loss in losses], allow_unused=True)
    shares = carrier.shares(forward.back(into))
    carrier.clear()
    rest = iter(own)
    of_heads = [list(zip(weights, islice(rest, len(weights)), strict=True)) for weights in heads]
    return [
        (loss.detach(), [*share, *((weight, one) for weight, one in head if one is not None)])
        for loss, share, head in zip(losses, shares, of_heads, strict=True)
    ]


def scores(carrier: PackedModel, seats: Sequence[Slot], *, tokens: int) -> list[Tensor]:
    """Of each trial for all rows of the validation split they share, in the rows' order."""
    rows = seats[0].validation.rows
    order = seats[0].validation.longest_first
    lined: list[Row] = [rows[row] for row in order]
    at_most = min(seat.plan.config.trainer.per_device_eval_batch_size for seat in seats)
    carrier.train(False)
    for seat in seats:
        seat.passenger.train(False)
    found: list[list[Tensor]] = [[] for _ in seats]
    with torch.no_grad(), autocast(seats[0].plan.config.trainer, carrier.device):
        carrier.load([seat.passenger for seat in seats])
        for part in chunks(lined, at_most=at_most, tokens=max(tokens // len(seats), 1)):
            vectors = carrier.vectors(carrier.layout([lined[part]] * len(seats)))
            for logits, seat, one in zip(found, seats, vectors[: len(seats)], strict=True):
                logits.append(wide(seat.passenger.head(one)))
    carrier.clear()
    back = torch.empty(len(order), dtype=torch.long)
    back[torch.tensor(order)] = torch.arange(len(order))
    return [torch.cat(logits)[back.to(carrier.device)] for logits in found]
