"""Attention over the rows of a pack: each row attends to itself alone. Known to transformers as an attention
implementation of its own, so that no model class is changed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers import AttentionInterface, AttentionMaskInterface

from sweep.model.features import Unsuited
from sweep.model.packed.layout import Group, Layout
from sweep.model.packed.noise import draws, factor, kept, threshold

NAME = "sweep_packed"

# What some attentions ask for beyond scaled dot products; a pack cannot give it.
_UNKNOWN = ("softcap", "s_aux", "position_bias", "head_mask")


class Line:
    """What the modules of one base share while a pack goes through: the layout, and the masks drawn for it by module, so
    that a layer computed again under gradient checkpointing drops the same values."""

    def __init__(self) -> None:
        self._layout: Layout | None = None
        self.masks: dict[nn.Module, Any] = {}

    @property
    def layout(self) -> Layout:
        assert self._layout is not None, "a pack is laid out before it goes through"
        return self._layout

    def lay(self, layout: Layout | None) -> None:
        self._layout = layout
        self.masks = {}


def put_on(model: nn.Module, line: Line) -> None:
    """Let the attention modules of `model` find the layout."""
    for module in model.modules():
        vars(module)["sweep_line"] = line


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
    layout, line = module.sweep_line.layout, module.sweep_line
    asked = [name for name in _UNKNOWN if more.get(name) is not None]
    if sliding_window is not None and sliding_window < layout.lengths.max():
        asked.append("sliding_window")
    if asked:
        raise Unsuited(f"the attention of {type(module).__name__} asks for {', '.join(asked)}")
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    shared = query.shape[1] // key.shape[1]
    if shared > 1:
        key, value = (part.repeat_interleave(shared, dim=1) for part in (key, value))
    if dropout > 0 and layout.noise and module not in line.masks:
        line.masks[module] = [_mask(layout, group, query.shape[1], dropout) for group in layout.groups]
    masks = line.masks.get(module) if dropout > 0 else None
    stretch = factor(dropout) if masks else 1.0
    result = _Attention.apply(query, key, value, layout, scale, causal, masks, stretch)
    return result, None


def _mask(layout: Layout, group: Group, heads: int, dropout: float) -> Tensor:
    cells = heads * group.length**2
    drawn = draws(layout.noise, [rows * cells for rows in group.counts])
    return kept(drawn, threshold(dropout)).view(-1, group.length, group.length)


class _Attention(torch.autograd.Function):
    """Gathers each group of rows head by head, attends in batched products, and puts the results back on the line."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, layout: Layout, scale: float, causal: bool,
        masks: list[Tensor] | None, stretch: float,
    ) -> Tensor:  # fmt: skip
        heads, width = query.shape[1], query.shape[3]
        flat = [part.transpose(1, 2).reshape(-1, width) for part in (query, key, value)]
        results, saved = [], []
        for place, (group, (index, _)) in enumerate(zip(layout.groups, layout.by_head(heads), strict=True)):
            q, k, v = (part[index].view(-1, group.length, width) for part in flat)
            shares = _shares(q, k, group, heads, scale, causal)
            seen = shares if masks is None else shares * masks[place] * stretch
            results.append(torch.bmm(seen.to(v.dtype), v).view(-1, width))
            saved += [q, k, v, shares]
        ctx.save_for_backward(*saved)
        ctx.layout, ctx.scale, ctx.masks, ctx.stretch, ctx.heads = layout, scale, masks, stretch, heads
        back = ctx.back = layout.back(heads)
        return torch.cat(results)[back].view(1, -1, heads, width)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        layout: Layout = ctx.layout
        heads, width = ctx.heads, gradient.shape[3]
        flat = gradient.reshape(-1, width)
        found: tuple[list[Tensor], ...] = ([], [], [])
        for place, (group, (index, real)) in enumerate(zip(layout.groups, layout.by_head(heads), strict=True)):
            q, k, v, shares = ctx.saved_tensors[4 * place : 4 * place + 4]
            g = flat[index]
            if real is not None:
                g.masked_fill_(~real, 0.0)
            g = g.view(-1, group.length, width)
            mask = None if ctx.masks is None else ctx.masks[place]
            for parts, one in zip(found, _back(g, q, k, v, shares, mask, ctx.stretch, ctx.scale), strict=True):
                parts.append(one.view(-1, width))
        results = [torch.cat(parts)[ctx.back].view(1, -1, heads, width).transpose(1, 2) for parts in found]
        return *results, None, None, None, None, None


def _shares(q: Tensor, k: Tensor, group: Group, heads: int, scale: float, causal: bool) -> Tensor:
    """The softmax of the scores, (rows x heads, length, length), at least in float32."""
    scores = torch.bmm(q, k.transpose(1, 2)) * scale
    scores = scores if scores.dtype is torch.float64 else scores.float()
    if group.real is not None:
        unseen = ~group.real[:, None, None, :]
        scores.view(group.rows, heads, group.length, group.length).masked_fill_(unseen, -torch.inf)
    if causal:
        later = torch.ones(group.length, group.length, dtype=torch.bool, device=q.device).triu_(1)
        scores.masked_fill_(later, -torch.inf)
    return torch.softmax(scores, dim=-1)


def _back(
    g: Tensor, q: Tensor, k: Tensor, v: Tensor, shares: Tensor, mask: Tensor | None, stretch: float, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    seen = shares if mask is None else shares * mask * stretch
    for_value = torch.bmm(seen.to(g.dtype).transpose(1, 2), g)
    for_shares = torch.bmm(g, v.transpose(1, 2)).to(shares.dtype)
    if mask is not None:
        for_shares = for_shares * mask * stretch
    for_scores = torch._softmax_backward_data(for_shares, shares, -1, shares.dtype) * scale
    for_scores = for_scores.to(q.dtype)
    return torch.bmm(for_scores, k), torch.bmm(for_scores.transpose(1, 2), q), for_value


def _no_mask(*_: Any, **__: Any) -> None:
    """The layout says which tokens belong together."""


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, _no_mask)

