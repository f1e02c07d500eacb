"""Matrix products over a pack: each trial's tokens with that trial's matrix.

They use `torch.nn.functional.grouped_mm` where it takes the type on the device, else batched
products over the tokens of each trial, padded to the longest.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from sweep.engine.packed.pack_index import PackIndex


def each(values: Tensor, matrices: Tensor, pack_index: PackIndex) -> Tensor:
    """Multiply (tokens, a) with (trials, a, b), trial by trial. Return (tokens, b)."""
    if _grouped(values, *matrices.shape[1:]):
        return functional.grouped_mm(values, matrices, offs=pack_index.offsets)
    index, _, back = pack_index.padded
    return torch.bmm(values[index], matrices).flatten(0, 1)[back]


def outer(left: Tensor, right: Tensor, pack_index: PackIndex) -> Tensor:
    """Return the outer products of (tokens, a) and (tokens, b), summed over the tokens of each
    trial: (trials, a, b)."""
    if _grouped(left, left.shape[1], right.shape[1]):
        return functional.grouped_mm(left.t(), right, offs=pack_index.offsets)
    index, real, _ = pack_index.padded
    unreal = ~real[..., None]
    first, second = (part[index].masked_fill_(unreal, 0.0) for part in (left, right))
    return torch.bmm(first.transpose(1, 2), second)


def _grouped(values: Tensor, *sizes: int) -> bool:
    """Return whether the grouped product can be used: it needs rows of whole 16 bytes."""
    known = torch.float32 if values.device.type == "cpu" else torch.bfloat16
    return values.dtype is known and not any(size * values.element_size() % 16 for size in sizes)
