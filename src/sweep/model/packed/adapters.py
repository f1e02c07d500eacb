"""The adapters of many trials on one linear layer of their base.

LoRA (Hu et al. 2021, arXiv 2106.09685) and IA3 (Liu et al. 2022, arXiv 2205.05638), computed as PEFT's layers compute them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from peft.tuners.ia3.layer import IA3Layer
from peft.tuners.ia3.layer import Linear as IA3Linear
from peft.tuners.lora.layer import Linear as LoraLinear
from peft.tuners.lora.layer import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from sweep.model.features import Unsuited
from sweep.model.packed import products
from sweep.model.packed.attention import Line
from sweep.model.packed.layout import Layout
from sweep.model.packed.noise import masks

_ADAPTER = "default"
_RANKS = 8  # ranks are padded to multiples: a GPU's grouped products want rows of 16 bytes


@dataclass(frozen=True, slots=True)
class Lora:
    """`down` is (rank, in), `up` (out, rank)."""

    down: nn.Parameter
    up: nn.Parameter
    scaling: float
    dropout: float

    @property
    def weights(self) -> tuple[nn.Parameter, ...]:
        return self.down, self.up


@dataclass(frozen=True, slots=True)
class IA3:
    """`vector` scales what goes into the layer where `inwards`, else what comes out of it."""

    vector: nn.Parameter
    inwards: bool

    @property
    def weights(self) -> tuple[nn.Parameter, ...]:
        return (self.vector,)


Adapter = Lora | IA3


def adapters_of(model: nn.Module) -> dict[str, Adapter]:
    """The adapters of a PEFT model, by the name that their layer has without PEFT. Raises Unsuited for kinds that are
    not known here."""
    found: dict[str, Adapter] = {}
    for name, layer in model.named_modules():
        if isinstance(layer, BaseTunerLayer):
            found[name] = _adapter(layer)
    return found


def _adapter(layer: BaseTunerLayer) -> Adapter:
    if isinstance(layer, LoraLayer) and isinstance(layer, LoraLinear | _quantised(LoraLayer)):
        if layer.use_dora.get(_ADAPTER) or layer.lora_bias.get(_ADAPTER):
            raise Unsuited("DoRA or a bias beside LoRA")
        dropout = layer.lora_dropout[_ADAPTER]
        down, up = (cast(nn.Parameter, part[_ADAPTER].weight) for part in (layer.lora_A, layer.lora_B))
        return Lora(down, up, float(layer.scaling[_ADAPTER]), dropout.p if isinstance(dropout, nn.Dropout) else 0.0)
    if isinstance(layer, IA3Layer) and isinstance(layer, IA3Linear | _quantised(IA3Layer)):
        return IA3(layer.ia3_l[_ADAPTER], bool(layer.is_feedforward))
    raise Unsuited(f"adapters of the kind {type(layer).__name__}")


def _quantised(kind: type) -> type:
    """PEFT's class for 4-bit layers; where bitsandbytes is not installed there is none, and no such layer."""
    try:
        from peft.tuners.ia3 import bnb as ia3
        from peft.tuners.lora import bnb as lora
    except ImportError:
        return kind
    return lora.Linear4bit if kind is LoraLayer else ia3.Linear4bit


class Site(nn.Module):
    """A linear layer of the base, with what the trials of the pack in hand have on it."""

    def __init__(self, base: nn.Module, line: Line) -> None:
        super().__init__()
        self.base = base
        self.line = line
        self.load(())

    def load(self, adapters: Sequence[Adapter | None]) -> list[tuple[Tensor, list[nn.Parameter | None]]]:
        """Take one adapter, or none, for each trial of the next pack. Gives the stacked weights, which are leaves, each
        with the weights that it is made of: what a leaf's gradient holds for trial i is of the i-th."""
        self.lora, self.inwards, self.outwards = None, None, None
        loras = [one if isinstance(one, Lora) else None for one in adapters]
        leaves: list[tuple[Tensor, list[nn.Parameter | None]]] = []
        if any(loras):
            self.lora = _Loras.of(loras)
            leaves += [(self.lora.down, [one.down if one else None for one in loras])]
            leaves += [(self.lora.up, [one.up if one else None for one in loras])]
        for name, inwards in (("inwards", True), ("outwards", False)):
            own = (one if isinstance(one, IA3) and one.inwards is inwards else None for one in adapters)
            vectors = [one.vector if one else None for one in own]
            if any(vector is not None for vector in vectors):
                stacked = _vectors(vectors)
                setattr(self, name, stacked)
                leaves.append((stacked, vectors))
        return leaves

    def forward(self, values: Tensor) -> Tensor:
        """(1, tokens, in) → (1, tokens, out), or without the one"""
        layout: Layout = self.line.layout
        given = values if self.inwards is None else _scaled(values, self.inwards, layout)
        result: Tensor = self.base(given)
        if self.outwards is not None:
            result = _scaled(result, self.outwards, layout)
        if self.lora is not None:
            result = self._with_lora(result, values, self.lora, layout)
        return result

    def _with_lora(self, result: Tensor, values: Tensor, lora: _Loras, layout: Layout) -> Tensor:
        kind = _compute_type(values, lora.down)
        mask = self._mask(values.shape[-1], kind, lora.dropout) if self.training and any(lora.dropout) else None
        added: Tensor = _LoraSum.apply(  # type: ignore[no-untyped-call]
            result, values.reshape(-1, values.shape[-1]).to(kind), mask, lora.down.to(kind), lora.up.to(kind),
            lora.scaling.to(kind)[layout.trial, None], layout,
        )  # fmt: skip
        return added

    def _mask(self, width: int, kind: torch.dtype, dropout: Sequence[float]) -> Tensor:
        """For the inputs, (tokens, in)."""
        layout, known = self.line.layout, self.line.masks
        if self not in known:
            counts = [count * width for count in layout.counts]
            known[self] = masks(layout.noise, counts, dropout, kind).view(-1, width)
        found: Tensor = known[self]
        return found


@dataclass(frozen=True, slots=True)
class _Loras:
    """`down` is (trials, rank, in), `up` (trials, out, rank), `scaling` (trials,): zero for a trial without. Lower ranks
    are filled up with zeros, which change nothing and learn nothing."""

    down: Tensor
    up: Tensor
    scaling: Tensor
    dropout: list[float]

    @classmethod
    def of(cls, loras: Sequence[Lora | None]) -> _Loras:
        some = next(one for one in loras if one)
        rank = -(-max(len(one.down) for one in loras if one) // _RANKS) * _RANKS
        down = some.down.new_zeros(len(loras), rank, some.down.shape[1])
        up = some.up.new_zeros(len(loras), some.up.shape[0], rank)
        with torch.no_grad():
            for place, one in enumerate(loras):
                if one is not None:
                    down[place, : len(one.down)] = one.down
                    up[place, :, : len(one.down)] = one.up
        scaling = torch.tensor([one.scaling if one else 0.0 for one in loras], dtype=down.dtype, device=down.device)
        return cls(down.requires_grad_(), up.requires_grad_(), scaling, [one.dropout if one else 0.0 for one in loras])


def _vectors(vectors: Sequence[nn.Parameter | None]) -> Tensor:
    some = next(one for one in vectors if one is not None)
    ones = torch.ones_like(some).flatten()
    with torch.no_grad():
        stacked = torch.stack([ones if one is None else one.flatten() for one in vectors])
    return stacked.requires_grad_()


def _scaled(values: Tensor, vectors: Tensor, layout: Layout) -> Tensor:
    """By each trial's vector, in the precision of the vectors, given back in that of the values."""
    flat = values.reshape(-1, values.shape[-1])
    scaled: Tensor = _Scale.apply(flat, vectors, layout)  # type: ignore[no-untyped-call]
    return scaled.view(values.shape)


def _compute_type(values: Tensor, weight: Tensor) -> torch.dtype:
    """What PEFT multiplies in: autocast's type, or that of the adapter's weights."""
    kind = values.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype


class _LoraSum(torch.autograd.Function):
    """`result`, of any shape that ends with its width, with each trial's scaling x up(down(dropout(values))) added to it, in place
    where that can be."""

    @staticmethod
    def forward(
        ctx: Any, result: Tensor, values: Tensor, mask: Tensor | None, down: Tensor, up: Tensor,
        scaling: Tensor, layout: Layout,
    ) -> Tensor:  # fmt: skip
        entering = values if mask is None else values * mask
        inside = products.each(entering, down.transpose(1, 2), layout) * scaling
        added = products.each(inside, up.transpose(1, 2), layout).view(result.shape)
        if result._is_view():  # autograd lets nobody change what a function of bitsandbytes gave
            result = (result + added).to(result.dtype)
        else:
            ctx.mark_dirty(result.add_(added))
        ctx.save_for_backward(entering, inside, down, up, scaling)
        ctx.mask, ctx.layout, ctx.wanted = mask, layout, ctx.needs_input_grad[1]
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        entering, inside, down, up, scaling = ctx.saved_tensors
        layout: Layout = ctx.layout
        given = gradient.reshape(-1, gradient.shape[-1]).to(down.dtype)
        within = products.each(given, up, layout) * scaling
        for_up = products.outer(given, inside, layout)
        for_down = products.outer(within, entering, layout)
        for_values = None
        if ctx.wanted:
            for_values = products.each(within, down, layout)
            if ctx.mask is not None:
                for_values *= ctx.mask
        return gradient, for_values, None, for_down, for_up, None, None


class _Scale(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, vectors: Tensor, layout: Layout) -> Tensor:
        ctx.save_for_backward(values, vectors)
        ctx.layout = layout
        return (values * vectors[layout.trial]).to(values.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        values, vectors = ctx.saved_tensors
        for_values = (gradient * vectors[ctx.layout.trial]).to(values.dtype) if ctx.needs_input_grad[0] else None
        return for_values, products.summed(gradient.to(vectors.dtype) * values, ctx.layout), None
