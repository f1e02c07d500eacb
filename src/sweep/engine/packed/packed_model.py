"""The base that carries a pack: rows of many trials in, one vector a row out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from sweep.config.schema import PoolingKind
from sweep.engine.packed import activations, attention, dropout, narrow
from sweep.engine.packed.adapters import Adapter, MultiAdapterLinear, StackedWeights, WeightGrad, adapters_of
from sweep.engine.packed.agreement import fitting, tolerance
from sweep.engine.packed.batch import PackedBatch, PackIndex, Row, counted_positions
from sweep.engine.packed.graphs import Forward, Gradients, Graphs, Signature
from sweep.engine.packed.noise import Noise
from sweep.model import pooling
from sweep.model.account import unwrapped
from sweep.model.architecture import body
from sweep.model.features import HeadModel, NotPackable

_TRIES = 4  # seeds, by which random numbers that decide something are told from those that are drawn and not used


@dataclass(frozen=True, slots=True)
class Pool:
    """`vectors` are of rows, (rows, width), from hidden states, (tokens, width); `read` are the tokens they come from, None
    where it is all of them."""

    vectors: Callable[[PackedModel, Tensor, PackIndex], Tensor]
    read: Callable[[PackedModel, PackIndex], Tensor] | None = None


@dataclass(slots=True)
class TrialAdapters:
    """What one trial brings to the pack: its adapters by layer, and its head, which runs on the trial's own rows alone."""

    model: nn.Module
    adapters: Mapping[str, Adapter] = field(init=False)
    head: HeadModel = field(init=False)
    head_weights: list[nn.Parameter] = field(init=False)
    dropouts: list[dropout.OwnDropout] = field(init=False)

    def __post_init__(self) -> None:
        """Raises Unsuited where the trial's adapters or head are of a kind that a pack cannot carry."""
        inner = unwrapped(self.model)
        self.adapters = adapters_of(inner)
        self.head = HeadModel(inner).eval()  # as the parts it is made of are
        self.head_weights = [weight for weight in self.head.parameters() if weight.requires_grad]
        self.dropouts = dropout.replace_own(self.head)

    def train(self, mode: bool) -> None:
        _set_mode(self.head, mode)


class PackedModel:
    """Drives a frozen copy of the base, with a `Site` where any trial so far has had an adapter.

    How the model's class pools its vectors is found out once, by comparing logits (`board`). `graphs`, if given, keeps
    passes of training as CUDA graphs; adapters then stay at one place in memory, with room for the most trials so far.
    """

    def __init__(self, model: PreTrainedModel, graphs: Graphs | None = None) -> None:
        """`model` is a copy to be changed. Raises Unsuited if its class does not go through transformers' attention
        interface, or takes no positions."""
        if not model._can_set_attn_implementation():
            raise NotPackable(f"{type(model).__name__} computes attention in a way of its own")
        self._trunk = cast(PreTrainedModel, model.get_submodule(body(model)))
        hook = pooling.remove(model)  # it would take the line for one text
        self._pools = _POOLS if hook is None else (_BY_KIND[hook.kind],)
        self._pad: int | None = model.config.get_text_config().pad_token_id
        self._line = attention.PackContext()
        self._given = inspect.signature(self._trunk.forward).parameters
        if "position_ids" not in self._given:
            raise NotPackable(f"{type(self._trunk).__name__} takes no position_ids")
        model.set_attn_implementation(attention.NAME)
        self._line.put_on(self._trunk)
        dropout.replace(self._trunk, self._line)
        activations.replace(self._trunk)
        self._model, self._prefix = model, f"{body(model)}."
        self._sites: dict[str, MultiAdapterLinear] = {}
        self._pool: Pool | None = None
        self._judged = 0  # tokens of the longest row that logits were compared for
        self._graphs = graphs
        self._aboard: tuple[TrialAdapters, ...] = ()
        self._leaves: list[StackedWeights] = []
        self._copies: tuple[list[Tensor], list[Tensor]] = ([], [])
        self._cut: tuple[Gradients, list[list[WeightGrad]]] = ((), [])

    @property
    def device(self) -> torch.device:
        return self._model.device

    def checkpointing(self) -> None:
        """Compute each layer again on the way back, instead of keeping what is inside. The global generators need not be
        set back for that, which a graph could not: masks are kept."""
        self._line.recomputes = True
        options = {"use_reentrant": False, "preserve_rng_state": self._graphs is None}
        self._model.gradient_checkpointing_enable(options)  # type: ignore[no-untyped-call]

    def judges(self, longest: int) -> bool:
        """Whether a trial with a row of so many tokens is boarded by its logits: none that boarded before had as long a row.
        Windows and other masks of an attention show only beyond a certain length."""
        return longest > self._judged

    def board(self, passenger: TrialAdapters, rows: Sequence[Row], logits: Tensor | None) -> None:
        """Make room for a trial's adapters. Where the carrier `judges`, `logits` are those of the trial's own model for `rows`,
        padded and in eval mode, by which the pack's are judged; its longest row is among them. Raises Unsuited where they
        differ, an adapter has no layer, or the model draws random numbers that are no trial's; and whatever the model's own
        code raises of a line of rows."""
        self._make_sites(passenger)
        if logits is None:
            return
        try:
            if self._pool is None:
                pool = self._find_pool(passenger, rows, logits)
                self._try_training(pool, passenger, rows)
                self._pool = pool
            else:
                self._judge(self._pool, passenger, rows, logits)
        finally:
            self.clear()
        self._judged = max(len(row) for row in rows)

    def train(self, mode: bool) -> None:
        _set_mode(self._trunk, mode)

    def load(self, passengers: Sequence[TrialAdapters]) -> None:
        """Take the adapters of the trials of the next pack, in its order."""
        if len(passengers) != len(self._aboard) or any(
            a is not b for a, b in zip(passengers, self._aboard, strict=True)
        ):
            self._make_room(passengers)
        with torch.no_grad():
            torch._foreach_copy_(*self._copies)

    def layout(self, rows: Sequence[Sequence[Row]], noise: Sequence[Noise] = ()) -> PackedBatch:
        """Of the trials that were loaded, each with its rows."""
        return PackedBatch([*rows, *[()] * (self._room - len(rows))], self.device, noise)

    def forward(self, layout: PackedBatch) -> Forward:
        """What enters the heads of the trials that were loaded, (rows, width). Keeps nothing of the layout but for the way
        back, until `clear`."""
        if self._graphs is not None:
            found = self._graphs.forward(layout, self._signature, self._vectors, self._leaves)
            if found is not None:
                return found
        vectors = self._vectors(layout)
        stacks = [leaf.stacked for leaf in self._leaves]
        return Forward(vectors, lambda given: torch.autograd.grad(vectors, stacks, given, allow_unused=True))

    def shares(self, gradients: Gradients) -> list[list[WeightGrad]]:
        """What `Forward.back` gave, by the trials that were loaded; they hold as long. A graph's are at one place in memory, and
        cut once."""
        known, shares = self._cut
        if len(known) != len(gradients) or any(a is not b for a, b in zip(known, gradients, strict=True)):
            shares = [[] for _ in self._aboard]
            for leaf, gradient in zip(self._leaves, gradients, strict=True):
                if gradient is not None:
                    for share, one in zip(shares, leaf.shares(gradient), strict=False):
                        share += [] if one is None else [one]
            if self._graphs is not None:
                self._cut = gradients, shares
        return shares

    def vectors(self, layout: PackedBatch) -> list[Tensor]:
        """What enters the head of each trial, without a way back."""
        return list(torch.split(self._vectors(layout), [len(rows) for rows in layout.rows]))

    def clear(self) -> None:
        self._line.lay(None)

    def release(self) -> None:
        """Give back what graphs hold."""
        self.clear()
        self._aboard, self._cut = (), ((), [])
        if self._graphs is not None:
            self._graphs.release()

    @property
    def _room(self) -> int:
        """Trials that adapters are stacked for."""
        return max((len(leaf.weights) for leaf in self._leaves), default=len(self._aboard))

    @property
    def _signature(self) -> Signature:
        """All that decides which kernels a pass runs, beside the shape of its layout."""
        return tuple(
            (name, site.drops, *(id(leaf.stacked) for leaf in site.leaves)) for name, site in self._sites.items()
        )

    def _make_room(self, passengers: Sequence[TrialAdapters]) -> None:
        self._aboard = ()  # memory may run out between two sites
        keep = self._graphs is not None
        room = max(len(passengers), self._room if keep else 0)
        none: list[Adapter | None] = [None] * (room - len(passengers))
        for name, site in self._sites.items():
            site.make_room([*(passenger.adapters.get(name) for passenger in passengers), *none], keep=keep)
        self._leaves = [leaf for site in self._sites.values() for leaf in site.leaves]
        parts = [part for leaf in self._leaves for part in leaf.parts()]
        self._copies = [place for place, _ in parts], [weight for _, weight in parts]
        self._aboard, self._cut = tuple(passengers), ((), [])

    def _vectors(self, layout: PackIndex) -> Tensor:
        """(rows, width)"""
        assert self._pool is not None, "a trial has boarded"
        return self._pool.vectors(self, self._hidden(layout), layout)

    def _hidden(self, layout: PackIndex) -> Tensor:
        """(tokens, width)"""
        self._line.lay(layout)
        pad = self._counted_from
        places = layout.position_ids if pad is None else counted_positions(layout, pad)
        given: dict[str, Any] = {"input_ids": layout.input_ids, "position_ids": places}
        if layout.token_type_ids is not None and "token_type_ids" in self._given:
            given["token_type_ids"] = layout.token_type_ids
        if "use_cache" in self._given:
            given["use_cache"] = False
        with self._without_pooler():
            hidden: Tensor = self._trunk(**given)[0]
        return hidden[0]

    @contextmanager
    def _without_pooler(self) -> Iterator[None]:
        """On a line the base would pool the first row alone. Not every class asks whether it has a pooler."""
        pooler = getattr(self._trunk, "pooler", None)
        if pooler is None:
            yield
            return
        self._trunk.pooler = _Unpooled()
        try:
            yield
        finally:
            self._trunk.pooler = pooler

    @cached_property
    def _counted_from(self) -> int | None:
        """The id that pads, where positions are counted from it (RoBERTa and its kin); None elsewhere."""
        embeddings = getattr(self._trunk, "embeddings", None)
        counted = hasattr(embeddings, "create_position_ids_from_input_ids")
        return int(embeddings.padding_idx) if embeddings is not None and counted else None

    def _make_sites(self, passenger: TrialAdapters) -> None:
        for name in passenger.adapters:
            if name in self._sites:
                continue
            if not name.startswith(self._prefix):
                raise NotPackable(f"an adapter on {name}, outside the headless model")
            parent, _, leaf = name.rpartition(".")
            owner = self._model.get_submodule(parent)
            site = MultiAdapterLinear(owner.get_submodule(leaf), self._line).train(self._trunk.training)
            setattr(owner, leaf, site)
            self._sites[name] = site

    def _evaluated(self, passenger: TrialAdapters, rows: Sequence[Row]) -> PackedBatch:
        """The layout of a trial's rows, with the base and the trial's head in eval mode and its adapters in place."""
        self.train(False)
        passenger.head.eval()
        self.load([passenger])
        return self.layout([rows])

    def _find_pool(self, passenger: TrialAdapters, rows: Sequence[Row], expected: Tensor) -> Pool:
        layout = self._evaluated(passenger, rows)
        with torch.no_grad():
            with narrow.behind_attention(self._trunk, self._line) as linears:
                hidden = self._hidden(layout)
            logits = [self._logits(pool, passenger, hidden, layout) for pool in self._pools]
        pool = self._pools[fitting(self._name, logits, expected, self._tolerance(expected))]
        if pool.read is not None:
            narrow.replace(self._trunk, linears, self._line, partial(pool.read, self))
        return pool

    def _try_training(self, pool: Pool, passenger: TrialAdapters, rows: Sequence[Row]) -> None:
        """A forward and a backward pass in training mode, on two short rows. Raises Unsuited where a module draws random numbers
        in a way of its own, as by `torch.nn.functional.dropout`: they would not be the trial's."""
        self.train(True)
        self.load([passenger])
        stacks = [leaf.stacked for leaf in self._leaves]
        found = []
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            for seed in range(_TRIES):
                torch.manual_seed(seed)
                before = self._random_state()
                layout = self.layout([rows[:2]], [Noise(0, 0, self.device)])
                vectors = pool.vectors(self, self._hidden(layout), layout)
                found.append(vectors.detach())
                if self._random_state() == before:
                    break
        if self._line.recomputes and any(turns > 1 for turns in self._line.turns.values()):
            raise NotPackable(
                f"{self._name} drops by one module in several layers, with trainer.gradient_checkpointing"
            )
        if stacks:
            torch.autograd.grad(vectors.sum(), stacks, allow_unused=True)
        slack = self._tolerance(found[0]) * float(found[0].abs().max())
        if any(float((one - found[0]).abs().max()) > slack for one in found):
            raise NotPackable(f"{self._name} draws random numbers in training that are no trial's own")

    def _random_state(self) -> list[list[int]]:
        on_gpu = [torch.cuda.get_rng_state(self.device)] if self.device.type == "cuda" else []
        return [state.tolist() for state in (torch.get_rng_state(), *on_gpu)]

    def _judge(self, pool: Pool, passenger: TrialAdapters, rows: Sequence[Row], expected: Tensor) -> None:
        layout = self._evaluated(passenger, rows)
        with torch.no_grad():
            logits = self._logits(pool, passenger, self._hidden(layout), layout)
        fitting(self._name, [logits], expected, self._tolerance(expected))

    @property
    def _name(self) -> str:
        return type(self._model).__name__

    def _tolerance(self, logits: Tensor) -> float:
        return tolerance(logits, self._trunk, self.device.type)

    def _logits(self, pool: Pool, passenger: TrialAdapters, hidden: Tensor, layout: PackIndex) -> Tensor | None:
        try:
            logits: Tensor = passenger.head(pool.vectors(self, hidden, layout))
        except (AttributeError, TypeError, ValueError, IndexError, KeyError, RuntimeError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            return None
        return logits

    def _pooler(self, hidden: Tensor, layout: PackIndex) -> Tensor:
        """By the base's own pooler, which is frozen, but can have adapters: to them a row is a line of one token."""
        with self._line.meanwhile(layout.of_first):
            pooled: Tensor = cast(nn.Module, self._trunk.pooler)(hidden[layout.first][:, None])
        return pooled

    def _first(self, hidden: Tensor, layout: PackIndex) -> Tensor:
        return hidden[layout.first]

    def _last(self, hidden: Tensor, layout: PackIndex) -> Tensor:
        return hidden[layout.last]

    def _last_unpadded(self, hidden: Tensor, layout: PackIndex) -> Tensor:
        """As the heads of causal models look for it: texts may end with the token that pads."""
        return hidden[layout.last_but(self._pad)]

    def _mean(self, hidden: Tensor, layout: PackIndex) -> Tensor:
        wide = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
        return layout.mean(wide).to(hidden.dtype)


# A pooler's come first: where its vectors are a first token's, they are its own.
_POOLS = (
    Pool(PackedModel._pooler, lambda _, layout: layout.first),
    Pool(PackedModel._first, lambda _, layout: layout.first),
    Pool(PackedModel._last_unpadded, lambda carrier, layout: layout.last_but(carrier._pad)),
    Pool(PackedModel._mean),
)
_BY_KIND: dict[PoolingKind, Pool] = {
    "pooler": _POOLS[0],
    "cls": _POOLS[1],
    "last": Pool(PackedModel._last, lambda _, layout: layout.last),
    "mean": _POOLS[3],
}


class _Unpooled(nn.Module):
    """Stands in for a pooler, and gives back what it is given."""

    def forward(self, hidden: Tensor, *_: Any, **__: Any) -> Tensor:
        return hidden


def _set_mode(module: nn.Module, mode: bool) -> None:
    if module.training is not mode:  # setting it again would walk all modules, at every step
        module.train(mode)
