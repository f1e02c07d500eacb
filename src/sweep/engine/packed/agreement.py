"""The comparison of a pack's logits with those that the model gives for the same rows, padded and
alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sweep.model.features import NotPackable

# In units of the largest distance of a row's logits from the mean row's.
_TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-3, torch.bfloat16: 1e-1, torch.float16: 2e-2}
_APART = 2.0  # how much farther any other pooling must be


def tolerance(logits: Tensor, trunk: nn.Module, device: str) -> float:
    """Return the largest tolerance of any type used in the forward pass.

    A head may be wider than the base, and products of a base in 4 bits, or under autocast, are
    coarser than its weights.
    """
    types = {logits.dtype, *(weight.dtype for weight in trunk.parameters())}
    computed = (getattr(module, "compute_dtype", None) for module in trunk.modules())
    types |= {one for one in computed if isinstance(one, torch.dtype)}
    types |= {torch.get_autocast_dtype(device)} if torch.is_autocast_enabled(device) else set()
    return max(_TOLERANCE.get(one, 0.0) for one in types)


def fitting(model: str, found: Sequence[Tensor | None], expected: Tensor, tolerance: float) -> int:
    """Return the index of the logits that agree with those expected, up to `tolerance` times the
    distance between rows. Raises NotPackable where none do, or where others are nearly as close:
    rows of one token, or all alike, do not tell one pooling from another."""
    spread = float((expected - expected.mean(dim=0)).abs().max())
    if not spread:
        raise NotPackable(
            f"{model} gives all rows that it was tried on the same logits, which tell nothing of a pack's"
        )
    far = [math.inf if one is None or one.shape != expected.shape else float((one - expected).abs().max())
           for one in found]  # fmt: skip
    best, *others = sorted(range(len(far)), key=far.__getitem__)
    if not far[best] <= tolerance * spread:
        raise NotPackable(f"{model} gives other logits when its rows are laid end to end")
    if others and far[others[0]] <= _APART * max(far[best], tolerance * spread):
        raise NotPackable(f"the rows do not show which pooling {model} has; set model.pooling")
    return best
