"""The adapters of many trials on one linear layer of their base.

LoRA (Hu et al. 2021, arXiv 2106.09685), DoRA (Liu et al. 2024, arXiv 2402.09353) and IA3 (Liu et
al. 2022, arXiv 2205.05638), computed as PEFT's layers compute them. A method of
`sweep.model.adapters` names one of them as `packed_kernel`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from peft.tuners.ia3.layer import IA3Layer
from peft.tuners.ia3.layer import Linear as IA3Linear
from peft.tuners.lora.layer import Linear as LoraLinear
from peft.tuners.lora.layer import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.integrations import dequantize_module_weight
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers.pytorch_utils import Conv1D

from sweep.engine.packed import products
from sweep.engine.packed.attention import PackContext, compute_type
from sweep.engine.packed.pack_index import PackIndex
from sweep.engine.packed.pooled_tokens import Narrowed
from sweep.engine.packed.rates import Rates
from sweep.model.features import NotPackable

_ADAPTER = "default"
_RANKS = 8  # ranks are padded to multiples: a GPU's grouped products want rows of 16 bytes


@dataclass(frozen=True, slots=True)
class Lora:
    """The LoRA weights of a trial in one layer. `down` is (rank, in), `up` (out, rank). With a
    `magnitude`, (out,), the method is DoRA."""

    down: nn.Parameter
    up: nn.Parameter
    scaling: float
    dropout: float
    magnitude: nn.Parameter | None = None

    @property
    def weights(self) -> tuple[nn.Parameter, ...]:
        return (self.down, self.up) if self.magnitude is None else (self.down, self.up, self.magnitude)


@dataclass(frozen=True, slots=True)
class IA3:
    """The IA3 weights of a trial in one layer. `vector` scales the input of the layer where
    `inwards`, else its output."""

    vector: nn.Parameter
    inwards: bool

    @property
    def weights(self) -> tuple[nn.Parameter, ...]:
        return (self.vector,)


Adapter = Lora | IA3


def adapters_of(model: nn.Module) -> dict[str, Adapter]:
    """Return the adapters of a PEFT model, by the name that their layer has without PEFT. Raises
    NotPackable for kinds that are not known here."""
    found: dict[str, Adapter] = {}
    for name, layer in model.named_modules():
        if isinstance(layer, BaseTunerLayer):
            found[name] = _adapter(layer)
    return found


def _adapter(layer: BaseTunerLayer) -> Adapter:
    if isinstance(layer, LoraLayer) and isinstance(layer, LoraLinear | _quantised(LoraLayer)):
        if layer.lora_bias.get(_ADAPTER):
            raise NotPackable("a bias beside LoRA")
        dropout = layer.lora_dropout[_ADAPTER]
        down, up = (cast(nn.Parameter, part[_ADAPTER].weight) for part in (layer.lora_A, layer.lora_B))
        magnitude = layer.lora_magnitude_vector[_ADAPTER].weight if layer.use_dora.get(_ADAPTER) else None
        rate = dropout.p if isinstance(dropout, nn.Dropout) else 0.0
        return Lora(down, up, float(layer.scaling[_ADAPTER]), rate, cast("nn.Parameter | None", magnitude))
    if isinstance(layer, IA3Layer) and isinstance(layer, IA3Linear | _quantised(IA3Layer)):
        return IA3(layer.ia3_l[_ADAPTER], bool(layer.is_feedforward))
    raise NotPackable(f"adapters of the kind {type(layer).__name__}")


def _quantised(kind: type) -> type:
    """Return PEFT's class for 4-bit layers; where bitsandbytes is not installed there is none, and
    no such layer."""
    try:
        from peft.tuners.ia3 import bnb as ia3
        from peft.tuners.lora import bnb as lora
    except ImportError:
        return kind
    return lora.Linear4bit if kind is LoraLayer else ia3.Linear4bit


WeightGrad = tuple[nn.Parameter, Tensor]  # a trial's weights and their gradient


@dataclass(frozen=True, slots=True)
class StackedWeights:
    """The weights of all trials of a pack, stacked. Part i of the gradient of `stacked` belongs to
    the i-th of `weights`."""

    stacked: Tensor
    weights: Sequence[nn.Parameter | None]

    def parts(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the part of the stack that holds each trial's weights, and the weights."""
        with torch.no_grad():
            for slot, weight in zip(self.stacked, self.weights, strict=True):
                if weight is not None:
                    flat = weight.detach().flatten() if slot.ndim == 1 else weight.detach()
                    yield slot[tuple(slice(size) for size in flat.shape)], flat

    def split(self, gradient: Tensor) -> Iterator[WeightGrad | None]:
        """Yield each trial's part of the gradient of the stack, in the shape of its weights."""
        for weight, part in zip(self.weights, gradient, strict=True):
            if weight is None:
                yield None
            elif part.ndim == 1:
                yield weight, part[: weight.numel()].view(weight.shape)
            else:
                yield weight, part[tuple(slice(size) for size in weight.shape)]


class MultiAdapterLinear(nn.Module):
    """A linear layer of the base, with the adapters that the loaded trials have on it."""

    def __init__(self, base: nn.Module, context: PackContext) -> None:
        super().__init__()
        self.base = base
        self.context = context
        self.lora: _Loras | None = None
        self._squares: Tensor | None = None  # of the rows of the base's weight, (out,)
        self.inwards: StackedWeights | None = None
        self.outwards: StackedWeights | None = None
        context.replace(base, self)

    def reserve(self, adapters: Sequence[Adapter | None], *, keep: bool) -> None:
        """Allocate `stacks` for one adapter, or none, of each trial; their parts are then to be
        filled in. With `keep` present stacks stay at the same place in memory, where they are
        large enough."""
        loras = [one if isinstance(one, Lora) else None for one in adapters]
        self.lora = _Loras.of(loras, self.lora if keep else None)
        vectors = [one if isinstance(one, IA3) else None for one in adapters]
        self.inwards = _vectors([one.vector if one and one.inwards else None for one in vectors], self.inwards, keep)
        self.outwards = _vectors(
            [one.vector if one and not one.inwards else None for one in vectors], self.outwards, keep
        )

    @property
    def stacks(self) -> list[StackedWeights]:
        loras = [] if self.lora is None else self.lora.stacks
        return [*loras, *(stack for stack in (self.inwards, self.outwards) if stack is not None)]

    @property
    def drops(self) -> bool:
        """Return whether some trial has dropout in front of its adapter."""
        return self.lora is not None and any(self.lora.rates.each)

    def forward(self, values: Tensor) -> Tensor:
        """Return the layer's output, (1, tokens, in) → (1, tokens, out), or without the one."""
        pack_index = self.context.pack_index
        given = values if self.inwards is None else _scaled(values, self.inwards.stacked, pack_index)
        result: Tensor = self.base(given)
        if self.outwards is not None:
            result = _scaled(result, self.outwards.stacked, pack_index)
        if self.lora is None:
            return result
        if self.lora.magnitude is None:
            return self._with_lora(result, values, self.lora, pack_index)
        return self._with_dora(result, values, self.lora, pack_index)

    def _with_lora(self, result: Tensor, values: Tensor, lora: _Loras, pack_index: PackIndex) -> Tensor:
        mask = self._dropped(values, lora)
        return self._sum(result, values, mask, lora, pack_index)

    def _with_dora(self, result: Tensor, values: Tensor, lora: _Loras, pack_index: PackIndex) -> Tensor:
        """Return the output with (f - 1) x Wx + f x scaling x BAx added, where f is the magnitude
        over the norm of W + scaling x BA; f is 1 for trials with LoRA. As in PEFT, Wx is of the
        values after dropout, and no gradient goes through the norm."""
        mask = self._dropped(values, lora)
        bias = getattr(_linear(self.base), "bias", None)
        linear = (
            result
            if mask is None
            else self.base((values.reshape(mask.shape) * mask).to(values.dtype).view(values.shape))
        )
        linear = linear if bias is None else linear - bias
        added = self._sum(torch.zeros_like(result), values, mask, lora, pack_index)
        factor = lora.factors(self._norms(lora))[pack_index.trial].view(result.shape)
        found: Tensor = result + (factor - 1.0) * linear + factor * added
        return found.to(result.dtype)

    def _sum(
        self, result: Tensor, values: Tensor, mask: Tensor | None, lora: _Loras, pack_index: PackIndex
    ) -> Tensor:  # fmt: skip
        down, up = lora.down.stacked, lora.up.stacked
        kind = compute_type(down)  # as PEFT multiplies in
        added: Tensor = _LoraSum.apply(  # type: ignore[no-untyped-call]
            result, values.reshape(-1, values.shape[-1]).to(kind), mask, down.to(kind), up.to(kind),
            lora.scaling.to(kind)[pack_index.trial, None], pack_index,
        )  # fmt: skip
        return added

    def _dropped(self, values: Tensor, lora: _Loras) -> Tensor | None:
        """Return the mask of the dropout before the adapter, (tokens, in); None where nothing
        drops."""
        if not (self.training and self.drops):
            return None
        return self._mask(values.shape[-1], compute_type(lora.down.stacked), lora.rates)

    @torch.no_grad()
    def _norms(self, lora: _Loras) -> Tensor:
        """Return the norm of each row of W + scaling x BA, (trials, out), without making that
        matrix for each trial: ||W||^2 + 2 scaling B (A W^T) + scaling^2 B (A A^T) B^T, row by
        row."""
        down, up = lora.down.stacked.detach(), lora.up.stacked.detach()
        weight = _weight(_linear(self.base)).to(down.dtype)
        if self._squares is None:
            self._squares = weight.square().sum(1)
        scaling = lora.scaling.to(down.dtype)[:, None]
        crossed = (up * (down @ weight.T).transpose(1, 2)).sum(-1)
        own = ((up @ (down @ down.transpose(1, 2))) * up).sum(-1)
        return (self._squares + 2 * scaling * crossed + scaling.square() * own).clamp(min=0).sqrt()

    def _mask(self, width: int, kind: torch.dtype, rates: Rates) -> Tensor:
        """Return the mask of the inputs, (tokens, in)."""
        draws = self.context.pack_index.draws
        assert draws is not None, "a batch that is trained has noise"
        found: Tensor = self.context.mask(self, lambda number: draws.tokens(number, width, rates, kind))
        return found


def _linear(base: nn.Module) -> nn.Module:
    """Return the layer that has the weight."""
    return base.linear if isinstance(base, Narrowed) else base


def _weight(linear: nn.Module) -> Tensor:
    """Return the weight of a layer of the base, (out, in), not quantised."""
    weight: Tensor = dequantize_module_weight(linear)
    return weight.detach().T if isinstance(linear, Conv1D) else weight.detach()


@dataclass(frozen=True, slots=True)
class _Loras:
    """The stacked LoRA weights of one layer. `down` is (trials, rank, in), `up` (trials, out,
    rank), `scaling` (trials,): zero for a trial without. Lower ranks are filled up with zeros,
    which change nothing and learn nothing. `magnitude` is (trials, out), None where no trial has
    DoRA; `scaled` (trials,) says which trials have it."""

    down: StackedWeights
    up: StackedWeights
    scaling: Tensor
    rates: Rates
    magnitude: StackedWeights | None
    scaled: Tensor

    @property
    def stacks(self) -> list[StackedWeights]:
        return [self.down, self.up, *([] if self.magnitude is None else [self.magnitude])]

    def factors(self, norms: Tensor) -> Tensor:
        """Return the magnitudes over `norms`, (trials, out), and 1 for trials without DoRA."""
        assert self.magnitude is not None, "a trial has DoRA"
        return torch.where(self.scaled[:, None], self.magnitude.stacked / norms, 1.0)

    @classmethod
    def of(cls, loras: Sequence[Lora | None], known: _Loras | None) -> _Loras | None:
        """Return stacks whose weights are not filled in yet; those `known`, if they are large
        enough."""
        some = next((one for one in loras if one), None)
        if some is None:
            return known and known._without(len(loras))
        rank = -(-max(len(one.down) for one in loras if one) // _RANKS) * _RANKS
        scaled = any(one.magnitude is not None for one in loras if one)
        if known is None or not known._holds(len(loras), rank, scaled=scaled):
            known = cls._empty(some, len(loras), rank, scaled=scaled)
        return known._taking(loras)

    @classmethod
    def _empty(cls, some: Lora, trials: int, rank: int, *, scaled: bool) -> _Loras:
        down = some.down.new_empty(trials, rank, some.down.shape[1], requires_grad=True)
        up = some.up.new_empty(trials, some.up.shape[0], rank, requires_grad=True)
        scaling, rates = down.new_zeros(trials), Rates.of([0.0] * trials, down.device)
        magnitude = some.up.new_empty(trials, some.up.shape[0], requires_grad=True) if scaled else None
        which = torch.zeros(trials, dtype=torch.bool, device=down.device)
        stacked = None if magnitude is None else StackedWeights(magnitude, ())
        return cls(StackedWeights(down, ()), StackedWeights(up, ()), scaling, rates, stacked, which)

    def _holds(self, trials: int, rank: int, *, scaled: bool) -> bool:
        enough = self.down.stacked.shape[0] == trials and self.down.stacked.shape[1] >= rank
        return enough and (self.magnitude is not None or not scaled)

    def _without(self, trials: int) -> _Loras | None:
        return self._taking([None] * trials) if self._holds(trials, 0, scaled=False) else None

    def _taking(self, loras: Sequence[Lora | None]) -> _Loras:
        down, up = self.down.stacked, self.up.stacked
        with torch.no_grad():
            if any(one is None or len(one.down) < down.shape[1] for one in loras):
                down.zero_()
                up.zero_()
            self.scaling.copy_(torch.tensor([one.scaling if one else 0.0 for one in loras], dtype=self.scaling.dtype))
            rates = self.rates.taking([one.dropout if one else 0.0 for one in loras])
            magnitudes = [one.magnitude if one else None for one in loras]
            self.scaled.copy_(torch.tensor([one is not None for one in magnitudes]))
            if self.magnitude is not None:
                self.magnitude.stacked.fill_(1.0)
        return _Loras(
            StackedWeights(down, [one.down if one else None for one in loras]),
            StackedWeights(up, [one.up if one else None for one in loras]),
            self.scaling,
            rates,
            None if self.magnitude is None else StackedWeights(self.magnitude.stacked, magnitudes),
            self.scaled,
        )


def _vectors(vectors: Sequence[nn.Parameter | None], known: StackedWeights | None, keep: bool) -> StackedWeights | None:
    """Return the stacked vectors, (trials, width): ones for a trial without."""
    some = next((one for one in vectors if one is not None), None)
    held = known.stacked if keep and known is not None and len(known.stacked) == len(vectors) else None
    if some is None and held is None:
        return None
    if held is None:
        assert some is not None
        held = some.new_empty(len(vectors), some.numel(), requires_grad=True)
    with torch.no_grad():
        held.fill_(1.0)
    return StackedWeights(held, vectors)


def _scaled(values: Tensor, vectors: Tensor, pack_index: PackIndex) -> Tensor:
    """Multiply by each trial's vector, in the precision of the vectors. Return the product in that
    of the values."""
    flat = values.reshape(-1, values.shape[-1])
    scaled: Tensor = _Scale.apply(flat, vectors, pack_index)  # type: ignore[no-untyped-call]
    return scaled.view(values.shape)


class _LoraSum(torch.autograd.Function):
    """Adds scaling x up(down(dropout(values))) of each trial to `result`, in place where possible.
    `result` has any shape that ends with its width."""

    @staticmethod
    def forward(
        ctx: Any, result: Tensor, values: Tensor, mask: Tensor | None, down: Tensor, up: Tensor,
        scaling: Tensor, pack_index: PackIndex,
    ) -> Tensor:  # fmt: skip
        entering = values if mask is None else values * mask
        inside = products.each(entering, down.transpose(1, 2), pack_index) * scaling
        added = products.each(inside, up.transpose(1, 2), pack_index).view(result.shape)
        if result._is_view():  # autograd forbids in-place changes of the output of bitsandbytes
            result = (result + added).to(result.dtype)
        else:
            ctx.mark_dirty(result.add_(added))
        ctx.save_for_backward(entering, inside, down, up, scaling)
        ctx.mask, ctx.pack_index, ctx.wanted = mask, pack_index, ctx.needs_input_grad[1]
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        entering, inside, down, up, scaling = ctx.saved_tensors
        pack_index: PackIndex = ctx.pack_index
        given = gradient.reshape(-1, gradient.shape[-1]).to(down.dtype)
        within = products.each(given, up, pack_index) * scaling
        for_up = products.outer(given, inside, pack_index)
        for_down = products.outer(within, entering, pack_index)
        for_values = None
        if ctx.wanted:
            for_values = products.each(within, down, pack_index)
            if ctx.mask is not None:
                for_values *= ctx.mask
        return gradient, for_values, None, for_down, for_up, None, None


class _Scale(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, vectors: Tensor, pack_index: PackIndex) -> Tensor:
        ctx.save_for_backward(values, vectors)
        ctx.pack_index = pack_index
        return (values * vectors[pack_index.trial]).to(values.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        values, vectors = ctx.saved_tensors
        for_values = (gradient * vectors[ctx.pack_index.trial]).to(values.dtype) if ctx.needs_input_grad[0] else None
        return for_values, ctx.pack_index.summed(gradient.to(vectors.dtype) * values), None
