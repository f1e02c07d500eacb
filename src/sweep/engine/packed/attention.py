"""Attention over the rows of a pack: each row attends to itself alone. Known to transformers as an attention
implementation of its own, so that no model class is changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers import AttentionInterface, AttentionMaskInterface

from sweep.engine.packed.batch import ByHead, Group, PackIndex
from sweep.model.features import NotPackable

NAME = "sweep_packed"
_LINE = "sweep_line"  # of a module, where its line is

# Arguments of attention functions that a pack cannot carry.
_UNKNOWN = ("position_bias", "head_mask")


@dataclass(frozen=True, slots=True)
class Rule:
    """How the scores of one attention become shares, beside the rows of the pack.

    `scale` multiplies them. `causal`: a token sees none that come later. `window`: it sees those that are fewer than so many
    tokens away (ModernBERT, Gemma 2 and 3, Mistral). `softcap` bounds the scaled scores by `softcap * tanh(scores / softcap)`
    (Gemma 2). `sinks` (heads,) are scores that take part in the softmax and have no value (gpt-oss).
    """

    scale: float
    causal: bool
    window: int | None = None
    softcap: float | None = None
    sinks: Tensor | None = None


class PackContext:
    """What the modules of one base share while a pack goes through: the layout, and the dropout masks drawn for it.

    `masks` are kept by module and turn, which counts how often the module has dropped in this pass: some classes have one
    module for several layers (ALBERT). With `recomputes` a layer is computed again on the way back and drops the same
    values, so that a module has one turn.
    """

    def __init__(self) -> None:
        self._layout: PackIndex | None = None
        self._places: dict[nn.Module, int] = {}
        self.masks: dict[tuple[nn.Module, int], Any] = {}
        self.turns: Counter[nn.Module] = Counter()
        self.recomputes = False
        self._modules = 0  # of the base
        self.attended = 0  # attentions that the layout in hand has gone through

    @property
    def layout(self) -> PackIndex:
        assert self._layout is not None, "a pack is laid out before it goes through"
        return self._layout

    def mask(self, module: nn.Module, draw: Callable[[int], Any]) -> Any:
        """The module's mask in this pass. `draw` makes it from a number that no other module and turn has."""
        turn = 0 if self.recomputes else self.turns[module]
        self.turns[module] += 1
        if (module, turn) not in self.masks:
            self.masks[module, turn] = draw(self._places[module] + turn * self._modules)
        return self.masks[module, turn]

    def put_on(self, model: nn.Module) -> None:
        """Number the modules of a base, and let them find the line."""
        self.number(list(model.modules()))

    def number(self, modules: Sequence[nn.Module]) -> None:
        """`modules` are those of a base, in its order."""
        self._modules = len(modules)
        for number, module in enumerate(modules):
            vars(module)[_LINE] = self
            self._places[module] = number

    def numbers(self, module: nn.Module) -> bool:
        """Whether it is a module of the base."""
        return module in self._places

    def replace(self, module: nn.Module, other: nn.Module) -> None:
        """The other one stands in the module's place."""
        self._places[other] = self._places[module]

    def lay(self, layout: PackIndex | None) -> None:
        self._layout = layout
        self.masks = {}
        self.turns.clear()
        self.attended = 0

    @contextmanager
    def meanwhile(self, layout: PackIndex) -> Iterator[None]:
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
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """`query`, `key` and `value` are (1, heads, tokens, width), the last two perhaps with fewer heads; the result is
    (1, tokens, heads, width). Raises Unsuited where a module asks for more than scaled dot products."""
    line = line_of(module)
    line.attended += 1
    layout = line.layout
    asked = [name for name in _UNKNOWN if more.get(name) is not None]
    if s_aux is not None and s_aux.requires_grad:
        asked.append("s_aux that is trained")
    if asked:
        raise NotPackable(f"the attention of {type(module).__name__} asks for {', '.join(asked)}")
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    rule = Rule(scale, causal, sliding_window, softcap, s_aux)
    # Under autocast rotary embeddings leave queries and keys in another type than values.
    kind = compute_type(value)
    query, key, value = (part.to(kind) for part in (query, key, value))
    shared = query.shape[1] // key.shape[1]
    if shared > 1:
        key, value = (part.repeat_interleave(shared, dim=1) for part in (key, value))
    drawn, draws = None, layout.draws
    if dropout > 0 and draws is not None:
        asked_for = query.shape[1], dropout, _at_least_float32(query)
        drawn = line.mask(module, lambda place: [draws.scores(place, group, *asked_for) for group in layout.groups])
    result: Tensor = _Attention.apply(query, key, value, layout, rule, drawn)  # type: ignore[no-untyped-call]
    return result, None


def line_of(module: nn.Module) -> PackContext:
    """Of a module that a line was put on."""
    line: PackContext = vars(module)[_LINE]
    return line


def compute_type(values: Tensor) -> torch.dtype:
    """What products are computed in: autocast's type, or that of the values."""
    kind = values.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else values.dtype


class _Attention(torch.autograd.Function):
    """Gathers each group of rows head by head, attends in batched products, and puts the results back on the line."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, layout: PackIndex, rule: Rule, masks: list[Tensor] | None
    ) -> Tensor:
        heads, width = query.shape[1], query.shape[3]
        places = layout.by_head(heads)
        flat = [_by_token(part) for part in (query * rule.scale, key, value)]
        result, saved = _Gathered(places, flat[0]), []
        for number, group in enumerate(layout.groups):
            q, k, v = (part.index_select(0, places.index[number]).view(-1, group.length, width) for part in flat)
            shares = _shares(q, k, group, heads, rule)
            seen = shares if masks is None else shares * masks[number]
            torch.bmm(seen.to(v.dtype), v, out=result.part(number, group.length))
            saved += [q, k, v, shares]
        ctx.save_for_backward(*saved)
        ctx.layout, ctx.rule, ctx.masks, ctx.heads = layout, rule, masks, heads
        return result.back().view(1, -1, heads, width)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        layout: PackIndex = ctx.layout
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
            _back(g.view(-1, group.length, width), q, k, v, shares, mask, ctx.rule.softcap, outs)
        for_query, for_key, for_value = (one.back().view(1, -1, heads, width).transpose(1, 2) for one in found)
        return for_query.mul_(ctx.rule.scale), for_key, for_value, None, None, None


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


def _shares(q: Tensor, k: Tensor, group: Group, heads: int, rule: Rule) -> Tensor:
    """The softmax of the scores, (rows x heads, length, length), at least in float32."""
    scores = torch.bmm(q, k.transpose(1, 2))
    scores = scores.to(_at_least_float32(scores))
    if rule.softcap is not None:
        scores = torch.tanh(scores / rule.softcap) * rule.softcap
    by_row = scores.view(group.rows, heads, group.length, group.length)
    if group.unseen is not None:
        by_row.add_(group.unseen)
    if rule.causal:
        later = torch.ones(group.length, group.length, dtype=torch.bool, device=q.device).triu_(1)
        scores.masked_fill_(later, -torch.inf)
    if rule.window is not None and rule.window < group.length:
        by_row.masked_fill_(_too_far(group, rule.window), -torch.inf)
    if rule.sinks is not None:
        sinks = rule.sinks.to(scores.dtype).view(1, heads, 1, 1).expand(group.rows, -1, group.length, 1)
        scores = torch.cat([by_row, sinks], dim=-1).view(-1, group.length, group.length + 1)
        return torch.softmax(scores, dim=-1)[..., :-1].contiguous()
    return torch.softmax(scores, dim=-1)


def _too_far(group: Group, window: int) -> Tensor:
    """(rows or 1, 1, length, length), of each query the keys outside its window. Queries that only pad have no window: it
    would hold nothing but padding, and a softmax over nothing is not a number."""
    steps = torch.arange(group.length, device=group.index.device)
    far = ((steps[:, None] - steps).abs() >= window)[None, None]
    return far if group.real is None else far & group.real[:, None, :, None]


def _back(
    g: Tensor, q: Tensor, k: Tensor, v: Tensor, shares: Tensor, mask: Tensor | None, softcap: float | None,
    outs: Sequence[Tensor],
) -> None:  # fmt: skip
    """Fills `outs` with the gradients of the scaled queries, the keys and the values."""
    seen = shares if mask is None else shares * mask
    for_shares = torch.bmm(g, v.transpose(1, 2)).to(shares.dtype)
    if mask is not None:
        for_shares *= mask
    # A sink has a share but no value, so that its part of the sum in a softmax's gradient is zero.
    for_scores = torch._softmax_backward_data(for_shares, shares, -1, shares.dtype)
    if softcap is not None:
        capped = torch.tanh(torch.bmm(q, k.transpose(1, 2)).to(shares.dtype) / softcap)
        for_scores *= 1 - capped**2
    for_scores = for_scores.to(q.dtype)
    torch.bmm(for_scores, k, out=outs[0])
    torch.bmm(for_scores.transpose(1, 2), q, out=outs[1])
    torch.bmm(seen.to(g.dtype).transpose(1, 2), g, out=outs[2])


def _no_mask(*_: Any, **__: Any) -> None:
    """The layout says which tokens belong together."""


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, _no_mask)
