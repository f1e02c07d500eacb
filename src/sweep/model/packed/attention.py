"""Attention over the rows of a pack: each row attends to itself alone. Known to transformers as an attention
implementation of its own, so that no model class is changed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers import AttentionInterface, AttentionMaskInterface

from sweep.model.features import Unsuited
from sweep.model.packed.layout import ByHead, Group, Places

NAME = "sweep_packed"
_LINE = "sweep_line"  # of a module, where its line is

# What some attentions ask for beyond scaled dot products; a pack cannot give it.
_UNKNOWN = ("softcap", "s_aux", "position_bias", "head_mask")


class Line:
    """What the modules of one base share while a pack goes through: the layout, and the masks drawn for it by module, so
    that a layer computed again under gradient checkpointing drops the same values."""

    def __init__(self) -> None:
        self._layout: Places | None = None
        self._places: dict[nn.Module, int] = {}
        self.masks: dict[nn.Module, Any] = {}
        self.window = math.inf  # tokens that the narrowest attention so far sees at once
        self.attended = 0  # attentions that the layout in hand has gone through

    @property
    def layout(self) -> Places:
        assert self._layout is not None, "a pack is laid out before it goes through"
        return self._layout

    def place(self, module: nn.Module) -> int:
        """A number of the module's own among those of the base."""
        return self._places[module]

    def put_on(self, model: nn.Module) -> None:
        """Number the modules of a base, and let them find the line."""
        for number, module in enumerate(model.modules()):
            vars(module)[_LINE] = self
            self._places[module] = number

    def replace(self, module: nn.Module, other: nn.Module) -> None:
        """The other one stands in the module's place."""
        self._places[other] = self._places[module]

    def lay(self, layout: Places | None) -> None:
        self._layout = layout
        self.masks = {}
        self.attended = 0

    @contextmanager
    def meanwhile(self, layout: Places) -> Iterator[None]:
        """Another layout, for modules that are not run on the first one. The masks stay."""
        before, self._layout = self._layout, layout
        try:
            yield
        finally:
            self._layout = before


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,  # noqa: ARG001
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    is_causal: bool | None = None,
    sliding_window: int | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """`query`, `key` and `value` are (1, heads, tokens, width), the last two perhaps with fewer heads; the result is
    (1, tokens, heads, width). Raises Unsuited where a module asks for more than scaled dot products."""
    line: Line = vars(module)[_LINE]
    line.attended += 1
    layout = line.layout
    asked = [name for name in _UNKNOWN if more.get(name) is not None]
    if sliding_window is not None:
        line.window = min(line.window, sliding_window)
        if layout.longest > sliding_window:
            asked.append("sliding_window")
    if asked:
        raise Unsuited(f"the attention of {type(module).__name__} asks for {', '.join(asked)}")
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    # Under autocast rotary embeddings leave queries and keys in another type than values.
    kind = compute_type(value)
    query, key, value = (part.to(kind) for part in (query, key, value))
    shared = query.shape[1] // key.shape[1]
    if shared > 1:
        key, value = (part.repeat_interleave(shared, dim=1) for part in (key, value))
    drawn = None
    if dropout > 0 and layout.draws is not None:
        if module not in line.masks:
            asked_for = query.shape[1], dropout, _at_least_float32(query)
            line.masks[module] = [layout.draws.scores(line.place(module), group, *asked_for) for group in layout.groups]
        drawn = line.masks[module]
    result: Tensor = _Attention.apply(query, key, value, layout, scale, causal, drawn)  # type: ignore[no-untyped-call]
    return result, None


def compute_type(values: Tensor) -> torch.dtype:
    """What products are computed in: autocast's type, or that of the values."""
    kind = values.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else values.dtype


class _Attention(torch.autograd.Function):
    """Gathers each group of rows head by head, attends in batched products, and puts the results back on the line."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, layout: Places, scale: float, causal: bool,
        masks: list[Tensor] | None,
    ) -> Tensor:  # fmt: skip
        heads, width = query.shape[1], query.shape[3]
        places = layout.by_head(heads)
        flat = [_by_token(part) for part in (query * scale, key, value)]
        result, saved = _Gathered(places, flat[0]), []
        for number, group in enumerate(layout.groups):
            q, k, v = (part.index_select(0, places.index[number]).view(-1, group.length, width) for part in flat)
            shares = _shares(q, k, group, heads, causal=causal)
            seen = shares if masks is None else shares * masks[number]
            torch.bmm(seen.to(v.dtype), v, out=result.part(number, group.length))
            saved += [q, k, v, shares]
        ctx.save_for_backward(*saved)
        ctx.layout, ctx.scale, ctx.masks, ctx.heads = layout, scale, masks, heads
        return result.back().view(1, -1, heads, width)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        layout: Places = ctx.layout
        heads, width = ctx.heads, gradient.shape[3]
        places, flat = layout.by_head(heads), gradient.reshape(-1, width)
        saved = ctx.saved_tensors  # under checkpointing they can be read only once
        found = [_Gathered(places, flat) for _ in range(3)]
        for number, group in enumerate(layout.groups):
            q, k, v, shares = saved[4 * number : 4 * number + 4]
            g, padding = flat.index_select(0, places.index[number]), places.padding[number]
            if padding is not None:
                g.masked_fill_(padding, 0.0)
            mask = None if ctx.masks is None else ctx.masks[number]
            outs = [one.part(number, group.length) for one in found]
            _back(g.view(-1, group.length, width), q, k, v, shares, mask, outs)
        for_query, for_key, for_value = (one.back().view(1, -1, heads, width).transpose(1, 2) for one in found)
        return for_query.mul_(ctx.scale), for_key, for_value, None, None, None, None


@dataclass(slots=True)
class _Gathered:
    """Room for one vector of each group, row, head and place, of the width and type of `like`."""

    places: ByHead
    like: Tensor
    held: Tensor = field(init=False)
    starts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.starts = [0, *accumulate(len(index) for index in self.places.index)]
        self.held = self.like.new_empty(self.starts[-1], self.like.shape[1])

    def part(self, number: int, length: int) -> Tensor:
        """Of one group, (rows x heads, length, width)."""
        return self.held[self.starts[number] : self.starts[number + 1]].view(-1, length, self.held.shape[1])

    def back(self) -> Tensor:
        """(tokens x heads, width)"""
        return self.held.index_select(0, self.places.back)


def _by_token(part: Tensor) -> Tensor:
    """(1, heads, tokens, width) → (tokens x heads, width)"""
    return part.transpose(1, 2).reshape(-1, part.shape[3])


def _at_least_float32(part: Tensor) -> torch.dtype:
    return torch.promote_types(part.dtype, torch.float32)


def _shares(q: Tensor, k: Tensor, group: Group, heads: int, *, causal: bool) -> Tensor:
    """The softmax of the scores, (rows x heads, length, length), at least in float32."""
    scores = torch.bmm(q, k.transpose(1, 2))
    scores = scores.to(_at_least_float32(scores))
    if group.unseen is not None:
        scores.view(group.rows, heads, group.length, group.length).add_(group.unseen)
    if causal:
        later = torch.ones(group.length, group.length, dtype=torch.bool, device=q.device).triu_(1)
        scores.masked_fill_(later, -torch.inf)
    return torch.softmax(scores, dim=-1)


def _back(
    g: Tensor, q: Tensor, k: Tensor, v: Tensor, shares: Tensor, mask: Tensor | None, outs: Sequence[Tensor]
) -> None:
    """Fills `outs` with the gradients of the scaled queries, the keys and the values."""
    seen = shares if mask is None else shares * mask
    for_shares = torch.bmm(g, v.transpose(1, 2)).to(shares.dtype)
    if mask is not None:
        for_shares *= mask
    for_scores = torch._softmax_backward_data(for_shares, shares, -1, shares.dtype).to(q.dtype)
    torch.bmm(for_scores, k, out=outs[0])
    torch.bmm(for_scores.transpose(1, 2), q, out=outs[1])
    torch.bmm(seen.to(g.dtype).transpose(1, 2), g, out=outs[2])


def _no_mask(*_: Any, **__: Any) -> None:
    """The layout says which tokens belong together."""


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, _no_mask)
