"""The dropout of a packed trial, drawn again over the padded batches of the Trainer.

A pack draws a trial's masks from its seed and the number of its batch, for the batch's real tokens
(`noise`). Here a trial's own model gets dropout modules and an attention that apply the same masks
to the same tokens. All else is the model's own padded forward pass, so that a trial trained both
ways shows whether the pack was right, with dropout too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import ModulesToSaveWrapper
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import eager_mask

from sweep.engine.packed.attention import PackContext, compute_type, context_of
from sweep.engine.packed.batch import PackedBatch, Row
from sweep.engine.packed.dropout import OwnDropout, replace_own
from sweep.engine.packed.noise import Noise
from sweep.model.account import unwrapped
from sweep.model.architecture import body

NAME = "sweep_replay"


class PaddedContext(PackContext):
    """The context of a padded batch: `real` (rows, length) tells its tokens from padding; None
    before the first batch."""

    real: Tensor | None = None

    def drawn(self, module: PaddedDropout, values: Tensor, shaped: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the module's mask for `values`, whose tokens are those of the present layout."""
        draws = self.pack_index.draws
        assert draws is not None, "a batch that is trained has noise"
        width, kind, rate = values.shape[-1], values.dtype, module.p
        found: Tensor = self.mask(module, lambda number: shaped(draws.tokens(number, width, rate, kind)))
        return found

    def of_tokens(self, mask: Tensor) -> Tensor:
        """Return masks of (tokens, width) as (rows, length, width), with ones for padding."""
        assert self.real is not None
        spread = mask.new_ones(*self.real.shape, mask.shape[-1])
        spread[self.real] = mask
        return spread

    def of_scores(self, masks: list[Tensor], heads: int) -> Tensor:
        """Return masks of (rows x heads, length, length) for each group of rows as (all rows,
        heads, length, length)."""
        assert self.real is not None
        rows, length = self.real.shape
        starts, counts = self.real.int().argmax(dim=1).tolist(), self.real.sum(dim=1).tolist()
        spread = masks[0].new_ones(rows, heads, length, length)
        for group, mask in zip(self.pack_index.groups, masks, strict=True):
            for row, one in zip(group.within.tolist(), mask.view(group.rows, heads, *mask.shape[1:]), strict=True):
                here, count = slice(starts[row], starts[row] + counts[row]), counts[row]
                spread[row, :, here, here] = one[:, :count, :count]
        return spread


class PaddedDropout(nn.Dropout):
    """Stands in for a `Dropout` of the base or of an adapter, on values that are (rows, length,
    width)."""

    def __init__(self, probability: float, context: PaddedContext) -> None:
        super().__init__(probability)
        self.context = context

    def forward(self, values: Tensor) -> Tensor:
        context: PaddedContext = self.context
        if not self.training or not self.p:
            return values
        if context.real is not None and values.shape[:-1] == context.real.shape:
            return values * context.drawn(self, values, context.of_tokens)
        if context.real is not None and values.shape[:-1] == context.real.shape[:1]:  # in a pooler: the first tokens
            with context.using(context.pack_index.of_first):
                return values * context.drawn(self, values, lambda mask: mask)
        return super().forward(values)


class Replay:
    """Gives one trial's model the dropout of a pack until `over`. `seed` is the trial's, and
    `recomputes` says that gradients are checkpointed. Call `next_batch` before each training
    batch, from the first on; `batches` counts them, and is set where a training goes on."""

    def __init__(self, model: nn.Module, seed: int, *, recomputes: bool) -> None:
        inner = unwrapped(model)
        trunk = cast(PreTrainedModel, inner.get_submodule(body(inner)))
        self._model, self._seed, self.batches = inner, seed, 0
        self._context = PaddedContext()
        self._context.recomputes = recomputes
        self._context.number(list(_of_base(trunk)))
        _replace(trunk, self._context)
        self._heads = [own for name, child in inner.named_children() if child is not trunk for own in _own(inner, name)]
        self._before = inner.config._attn_implementation
        inner.set_attn_implementation(NAME)

    def next_batch(self, mask: Tensor) -> None:
        """`mask` is the batch's attention mask, (rows, length)."""
        noise = Noise(self._seed, self.batches, mask.device)
        self.batches += 1
        self._context.real = mask.bool()
        rows = [Row(np.zeros(count, dtype=np.int64)) for count in mask.sum(dim=1).tolist()]
        self._context.set_pack_index(PackedBatch([rows], mask.device, [noise]))
        for dropout in self._heads:
            dropout.noise = noise

    def over(self) -> None:
        """Restore the model's attention; its dropout, which only training uses, stays replaced."""
        self._context.set_pack_index(None)
        self._context.real = None
        self._model.set_attn_implementation(self._before)


def _of_base(module: nn.Module) -> Iterator[nn.Module]:
    """Yield a module and those below it in its order, without those of PEFT: an adapted layer
    stands for its base layer."""
    yield module
    if isinstance(module, BaseTunerLayer):
        return
    inside = module.original_module if isinstance(module, ModulesToSaveWrapper) else module
    for child in inside.children():
        yield from _of_base(child)


def _replace(trunk: nn.Module, context: PaddedContext) -> None:
    """Replace every dropout. One in front of an adapter draws under the number of the adapted
    layer, as `MultiAdapterLinear`."""
    for module in list(trunk.modules()):
        adapted = module if isinstance(module, BaseTunerLayer) else None
        holders = module.children() if adapted is not None else [module]
        for holder in list(holders):
            for name, child in list(holder.named_children()):
                if type(child) is nn.Dropout and (adapted is not None or context.has(child)):
                    drops = PaddedDropout(child.p, context).train(child.training)
                    context.replace(adapted or child, drops)
                    setattr(holder, name, drops)


def _own(owner: nn.Module, name: str) -> list[OwnDropout]:
    """Return the dropout modules of a part of the head."""
    part = owner.get_submodule(name)
    if type(part) is nn.Dropout:
        setattr(owner, name, OwnDropout(part.p).train(part.training))
        return [cast(OwnDropout, owner.get_submodule(name))]
    return replace_own(part)


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Return transformers' eager attention with the pack's dropout, over (rows, heads, length,
    width); windows and causality are in the mask."""
    context = cast(PaddedContext, context_of(module))
    kind = compute_type(value)
    heads = query.shape[1]
    query, key, value = (part.to(kind) for part in (query, key, value))
    key, value = (part.repeat_interleave(heads // part.shape[1], dim=1) for part in (key, value))
    scores = (query * (query.shape[-1] ** -0.5 if scaling is None else scaling)) @ key.transpose(2, 3)
    scores = scores.to(torch.promote_types(kind, torch.float32))
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if attention_mask is not None:
        scores = scores + attention_mask[..., : scores.shape[-1]]
    if s_aux is not None:
        sinks = s_aux.to(scores.dtype).view(1, heads, 1, 1).expand(*scores.shape[:3], 1)
        probs = torch.cat([scores, sinks], dim=-1).softmax(dim=-1)[..., :-1]
    else:
        probs = scores.softmax(dim=-1)
    if dropout > 0 and context.real is not None:
        draws, wide = context.pack_index.draws, probs.dtype
        assert draws is not None, "a batch that is trained has noise"
        probs = probs * context.mask(module, lambda number: context.of_scores(
            [draws.scores(number, group, heads, dropout, wide) for group in context.pack_index.groups], heads
        ))  # fmt: skip
    return (probs.to(value.dtype) @ value).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, _attend)
AttentionMaskInterface.register(NAME, eager_mask)
