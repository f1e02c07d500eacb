"""Attention over the rows of a pack: each row attends to itself alone. It is registered with
transformers as an attention implementation, so that no model class is changed."""

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

from sweep.engine.packed.pack_index import ByHead, Group, PackIndex
from sweep.model.features import NotPackable

NAME = "sweep_packed"
_CONTEXT = "sweep_pack_context"  # the attribute of a module that holds its context

# Arguments of attention functions that are not supported in a pack.
_UNKNOWN = ("position_bias", "head_mask")


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule by which the scores of one attention become probabilities, beside the rows of the
    pack.

    `scale` multiplies the scores. `causal`: a token attends to none that comes later. `window`: it
    attends to those that are fewer than so many tokens away (ModernBERT, Gemma 2 and 3, Mistral).
    `softcap` bounds the scaled scores by `softcap * tanh(scores / softcap)` (Gemma 2). `sinks`
    (heads,) are scores that take part in the softmax and have no value (gpt-oss).
    """

    scale: float
    causal: bool
    window: int | None = None
    softcap: float | None = None
    sinks: Tensor | None = None


class PackContext:
    """The state that the modules of one base share during a pass: the layout of the batch, and the
    dropout masks drawn for it.

    `masks` are kept by module and turn, which counts how often the module has dropped in this
    pass: some classes have one module for several layers (ALBERT). With `recomputes` a layer is
    computed again in the backward pass and drops the same values, so that a module has one turn.
    """

    def __init__(self) -> None:
        self._pack_index: PackIndex | None = None
        self._numbers: dict[nn.Module, int] = {}
        self.masks: dict[tuple[nn.Module, int], Any] = {}
        self.turns: Counter[nn.Module] = Counter()
        self.recomputes = False
        self._modules = 0  # of the base
        self.attended = 0  # attentions of the present pass so far

    @property
    def pack_index(self) -> PackIndex:
        assert self._pack_index is not None, "the pack index is set before a pass"
        return self._pack_index

    def mask(self, module: nn.Module, draw: Callable[[int], Any]) -> Any:
        """Return the module's mask in this pass. `draw` makes it from a number that no other
        module and turn has."""
        turn = 0 if self.recomputes else self.turns[module]
        self.turns[module] += 1
        if (module, turn) not in self.masks:
            self.masks[module, turn] = draw(self._numbers[module] + turn * self._modules)
        return self.masks[module, turn]

    def attach(self, model: nn.Module) -> None:
        """Number the modules of a base, and store the context in each."""
        self.number(list(model.modules()))

    def number(self, modules: Sequence[nn.Module]) -> None:
        """Number the modules of a base, given in its order."""
        self._modules = len(modules)
        for number, module in enumerate(modules):
            vars(module)[_CONTEXT] = self
            self._numbers[module] = number

    def has(self, module: nn.Module) -> bool:
        """Return whether it is a module of the base."""
        return module in self._numbers

    def replace(self, module: nn.Module, other: nn.Module) -> None:
        """Give another module, which replaces `module`, its number."""
        self._numbers[other] = self._numbers[module]

    def set_pack_index(self, pack_index: PackIndex | None) -> None:
        """Begin a pass over a batch; None ends it."""
        self._pack_index = pack_index
        self.masks = {}
        self.turns.clear()
        self.attended = 0

    @contextmanager
    def using(self, pack_index: PackIndex) -> Iterator[None]:
        """Use another layout for modules that run on other tokens. The masks stay."""
        before, self._pack_index = self._pack_index, pack_index
        try:
            yield
        finally:
            self._pack_index = before


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
    """`query`, `key` and `value` are (1, heads, tokens, width), the last two perhaps with fewer
    heads. Return the result, (1, tokens, heads, width), and None. Raises NotPackable where a
    module asks for more than scaled dot products."""
    context = context_of(module)
    context.attended += 1
    pack_index = context.pack_index
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
    heads_per_key = query.shape[1] // key.shape[1]
    if heads_per_key > 1:
        key, value = (part.repeat_interleave(heads_per_key, dim=1) for part in (key, value))
    drawn, draws = None, pack_index.draws
    if dropout > 0 and draws is not None:
        asked_for = query.shape[1], dropout, _at_least_float32(query)
        drawn = context.mask(
            module, lambda number: [draws.scores(number, group, *asked_for) for group in pack_index.groups]
        )
    result: Tensor = _Attention.apply(query, key, value, pack_index, rule, drawn)  # type: ignore[no-untyped-call]
    return result, None


def context_of(module: nn.Module) -> PackContext:
    """Return the context that was attached to a module."""
    context: PackContext = vars(module)[_CONTEXT]
    return context


def compute_type(values: Tensor) -> torch.dtype:
    """Return the type that products are computed in: autocast's, or that of the values."""
    kind = values.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else values.dtype


class _Attention(torch.autograd.Function):
    """Gathers each group of rows head by head, attends in batched products, and puts the results
    back at their tokens."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        pack_index: PackIndex,
        rule: Rule,
        masks: list[Tensor] | None,
    ) -> Tensor:
        heads, width = query.shape[1], query.shape[3]
        by_head = pack_index.by_head(heads)
        flat = [_by_token(part) for part in (query * rule.scale, key, value)]
        result, saved = _Gathered(by_head, flat[0]), []
        for number, group in enumerate(pack_index.groups):
            q, k, v = (part.index_select(0, by_head.index[number]).view(-1, group.length, width) for part in flat)
            probs = _probabilities(q, k, group, heads, rule)
            kept = probs if masks is None else probs * masks[number]
            torch.bmm(kept.to(v.dtype), v, out=result.part(number, group.length))
            saved += [q, k, v, probs]
        ctx.save_for_backward(*saved)
        ctx.pack_index, ctx.rule, ctx.masks, ctx.heads = pack_index, rule, masks, heads
        return result.back().view(1, -1, heads, width)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        pack_index: PackIndex = ctx.pack_index
        heads, width = ctx.heads, gradient.shape[3]
        by_head, flat = pack_index.by_head(heads), gradient.reshape(-1, width)
        saved = ctx.saved_tensors  # under checkpointing they can be read only once
        found = [_Gathered(by_head, flat) for _ in range(3)]
        for number, group in enumerate(pack_index.groups):
            q, k, v, probs = saved[4 * number : 4 * number + 4]
            g, padding = flat.index_select(0, by_head.index[number]), by_head.padding[number]
            if padding is not None:
                g.masked_fill_(padding, 0.0)
            mask = None if ctx.masks is None else ctx.masks[number]
            outs = [one.part(number, group.length) for one in found]
            _back(g.view(-1, group.length, width), q, k, v, probs, mask, ctx.rule.softcap, outs)
        for_query, for_key, for_value = (one.back().view(1, -1, heads, width).transpose(1, 2) for one in found)
        return for_query.mul_(ctx.rule.scale), for_key, for_value, None, None, None


@dataclass(slots=True)
class _Gathered:
    """Buffers for one vector of each group, row, head and token, with the width and dtype of
    `like`."""

    by_head: ByHead
    like: Tensor
    held: Tensor = field(init=False)
    starts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.starts = [0, *accumulate(len(index) for index in self.by_head.index)]
        self.held = self.like.new_empty(self.starts[-1], self.like.shape[1])

    def part(self, number: int, length: int) -> Tensor:
        """Return the memory of one group, (rows x heads, length, width)."""
        return self.held[self.starts[number] : self.starts[number + 1]].view(-1, length, self.held.shape[1])

    def back(self) -> Tensor:
        """Return the vectors in the order of tokens, (tokens x heads, width)."""
        return self.held.index_select(0, self.by_head.back)


def _by_token(part: Tensor) -> Tensor:
    """Return (1, heads, tokens, width) as (tokens x heads, width)."""
    return part.transpose(1, 2).reshape(-1, part.shape[3])


def _at_least_float32(part: Tensor) -> torch.dtype:
    return torch.promote_types(part.dtype, torch.float32)


def _probabilities(q: Tensor, k: Tensor, group: Group, heads: int, rule: Rule) -> Tensor:
    """Return the softmax of the scores, (rows x heads, length, length), at least in float32."""
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
    """Return for each query the keys outside its window, (rows or 1, 1, length, length). Queries
    that only pad have no window: it would hold nothing but padding, and a softmax over nothing is
    not a number."""
    steps = torch.arange(group.length, device=group.index.device)
    far = ((steps[:, None] - steps).abs() >= window)[None, None]
    return far if group.real is None else far & group.real[:, None, :, None]


def _back(
    g: Tensor, q: Tensor, k: Tensor, v: Tensor, probs: Tensor, mask: Tensor | None, softcap: float | None,
    outs: Sequence[Tensor],
) -> None:  # fmt: skip
    """Fill `outs` with the gradients of the scaled queries, the keys and the values."""
    kept = probs if mask is None else probs * mask
    for_probs = torch.bmm(g, v.transpose(1, 2)).to(probs.dtype)
    if mask is not None:
        for_probs *= mask
    # A sink has a probability but no value, so that its part of the sum in a softmax's gradient is
    # zero.
    for_scores = torch._softmax_backward_data(for_probs, probs, -1, probs.dtype)
    if softcap is not None:
        capped = torch.tanh(torch.bmm(q, k.transpose(1, 2)).to(probs.dtype) / softcap)
        for_scores *= 1 - capped**2
    for_scores = for_scores.to(q.dtype)
    torch.bmm(for_scores, k, out=outs[0])
    torch.bmm(for_scores.transpose(1, 2), q, out=outs[1])
    torch.bmm(kept.to(g.dtype).transpose(1, 2), g, out=outs[2])


def _no_mask(*_: Any, **__: Any) -> None:
    """Return no mask: the layout says which tokens belong together."""


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, _no_mask)
