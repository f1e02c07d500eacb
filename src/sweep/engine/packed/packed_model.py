"""The base model that trains a pack: rows of many trials in, one vector a row out."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from sweep.engine.packed import activations, attention, dropout, pooled_tokens
from sweep.engine.packed.adapters import Adapter, MultiAdapterLinear, StackedWeights, WeightGrad, adapters_of
from sweep.engine.packed.agreement import fitting, tolerance
from sweep.engine.packed.batch import PackedBatch, Row
from sweep.engine.packed.graphs import Forward, Gradients, Graphs, Signature
from sweep.engine.packed.noise import Noise
from sweep.engine.packed.pack_index import PackIndex, counted_positions
from sweep.model import pooling
from sweep.model.account import unwrapped
from sweep.model.architecture import body
from sweep.model.features import HeadModel, NotPackable
from sweep.model.pooling import PackedStates, Pool

_TRIES = 4  # seeds, to tell random numbers that change the result from those that are drawn and not used


@dataclass(slots=True)
class TrialAdapters:
    """The parts of the model that belong to one trial: its adapters by layer, and its head, which
    runs on the trial's own rows alone."""

    model: nn.Module
    adapters: Mapping[str, Adapter] = field(init=False)
    head: HeadModel = field(init=False)
    head_weights: list[nn.Parameter] = field(init=False)
    dropouts: list[dropout.OwnDropout] = field(init=False)

    def __post_init__(self) -> None:
        """Raises NotPackable where the trial's adapters or head are of a kind that cannot be
        packed."""
        inner = unwrapped(self.model)
        self.adapters = adapters_of(inner)
        self.head = HeadModel(inner).eval()  # in evaluation mode, as its parts are
        self.head_weights = [weight for weight in self.head.parameters() if weight.requires_grad]
        self.dropouts = dropout.replace_own(self.head)

    def train(self, mode: bool) -> None:
        _set_mode(self.head, mode)


class PackedModel:
    """A frozen copy of the base, with a `MultiAdapterLinear` where any trial so far has had an
    adapter.

    The way in which the model's class pools its vectors is found once, by comparing logits
    (`admit`). `graphs`, if given, keeps training passes as CUDA graphs; adapters then stay at one
    place in memory, for as many trials as were ever loaded at once.
    """

    def __init__(self, model: PreTrainedModel, graphs: Graphs | None = None) -> None:
        """`model` is a copy to be changed. Raises NotPackable if its class does not use
        transformers' attention interface, or takes no position_ids."""
        if not model._can_set_attn_implementation():
            raise NotPackable(f"{type(model).__name__} computes attention in a way of its own")
        self._trunk = cast(PreTrainedModel, model.get_submodule(body(model)))
        hook = pooling.remove(model)  # the class would treat the whole pack as one text
        self._pools = tuple(pooling.OWN.values()) if hook is None else (pooling.BY_KIND[hook.kind],)
        self._pad: int | None = model.config.get_text_config().pad_token_id
        self._context = attention.PackContext()
        self._inputs = inspect.signature(self._trunk.forward).parameters
        if "position_ids" not in self._inputs:
            raise NotPackable(f"{type(self._trunk).__name__} takes no position_ids")
        model.set_attn_implementation(attention.NAME)
        self._context.attach(self._trunk)
        dropout.replace(self._trunk, self._context)
        activations.replace(self._trunk)
        self._model, self._prefix = model, f"{body(model)}."
        self._linears: dict[str, MultiAdapterLinear] = {}
        self._pool: Pool | None = None
        self._longest_compared = 0  # tokens of the longest row that logits were compared for
        self._graphs = graphs
        self._loaded: tuple[TrialAdapters, ...] = ()
        self._stacks: list[StackedWeights] = []
        self._copies: tuple[list[Tensor], list[Tensor]] = ([], [])
        self._split: tuple[Gradients, list[list[WeightGrad]]] = ((), [])

    @property
    def device(self) -> torch.device:
        return self._model.device

    def checkpointing(self) -> None:
        """Recompute each layer in the backward pass, instead of keeping its activations. Masks are
        kept, so that the state of the global generators need not be restored, which a graph could
        not do."""
        self._context.recomputes = True
        options = {"use_reentrant": False, "preserve_rng_state": self._graphs is None}
        self._model.gradient_checkpointing_enable(options)  # type: ignore[no-untyped-call]

    def compares(self, longest: int) -> bool:
        """Return whether `admit` needs the logits of a trial whose longest row has so many tokens:
        no trial before it had as long a row. Windows and other masks of an attention show only
        beyond a certain length."""
        return longest > self._longest_compared

    def admit(self, trial: TrialAdapters, rows: Sequence[Row], logits: Tensor | None) -> None:
        """Prepare the model for a trial's adapters.

        Where it `compares`, `logits` are those of the trial's own model for `rows`, padded and in
        eval mode, and the pack's must agree with them; the trial's longest row is among the rows.
        Raises NotPackable where they differ, an adapter has no layer, or the model draws random
        numbers of its own; and whatever the model's own code raises for packed rows.
        """
        self._add_linears(trial)
        if logits is None:
            return
        try:
            if self._pool is None:
                pool = self._find_pool(trial, rows, logits)
                self._try_training(pool, trial, rows)
                self._pool = pool
            else:
                self._compare(self._pool, trial, rows, logits)
        finally:
            self.clear()
        self._longest_compared = max(len(row) for row in rows)

    def train(self, mode: bool) -> None:
        _set_mode(self._trunk, mode)

    def load(self, trials: Sequence[TrialAdapters]) -> None:
        """Copy the adapters of the trials of the next batch into the model, in its order."""
        if len(trials) != len(self._loaded) or any(a is not b for a, b in zip(trials, self._loaded, strict=True)):
            self._reserve(trials)
        with torch.no_grad():
            torch._foreach_copy_(*self._copies)

    def batch(self, rows: Sequence[Sequence[Row]], noise: Sequence[Noise] = ()) -> PackedBatch:
        """Return the batch of the loaded trials, each with its rows."""
        return PackedBatch([*rows, *[()] * (self._capacity - len(rows))], self.device, noise)

    def forward(self, batch: PackedBatch) -> Forward:
        """Return the vectors that enter the heads of the loaded trials, (rows, width), with their
        backward pass. Both hold until `clear`."""
        if self._graphs is not None:
            found = self._graphs.forward(batch, self._signature, self._vectors, self._stacks)
            if found is not None:
                return found
        vectors = self._vectors(batch)
        stacks = [stack.stacked for stack in self._stacks]
        return Forward(vectors, lambda given: torch.autograd.grad(vectors, stacks, given, allow_unused=True))

    def weight_grads(self, gradients: Gradients) -> list[list[WeightGrad]]:
        """Return the gradients that `Forward.back` returned, by loaded trial; the parts hold as
        long as they do. The gradients of a graph stay at one place in memory, and are split
        once."""
        known, split = self._split
        if len(known) != len(gradients) or any(a is not b for a, b in zip(known, gradients, strict=True)):
            split = [[] for _ in self._loaded]
            for stack, gradient in zip(self._stacks, gradients, strict=True):
                if gradient is not None:
                    for own, one in zip(split, stack.split(gradient), strict=False):
                        own += [] if one is None else [one]
            if self._graphs is not None:
                self._split = gradients, split
        return split

    def vectors(self, batch: PackedBatch) -> list[Tensor]:
        """Return the vectors that enter the head of each trial, (rows, width), without a backward
        pass."""
        return list(torch.split(self._vectors(batch), [len(rows) for rows in batch.rows]))

    def clear(self) -> None:
        self._context.set_pack_index(None)

    def release(self) -> None:
        """Free the memory that graphs hold."""
        self.clear()
        self._loaded, self._split = (), ((), [])
        if self._graphs is not None:
            self._graphs.release()

    @property
    def _capacity(self) -> int:
        """Return how many trials adapters are stacked for."""
        return max((len(stack.weights) for stack in self._stacks), default=len(self._loaded))

    @property
    def _signature(self) -> Signature:
        """Return all that decides which kernels a pass runs, beside the shape of its batch."""
        return tuple(
            (name, linear.drops, *(id(stack.stacked) for stack in linear.stacks))
            for name, linear in self._linears.items()
        )

    def _reserve(self, trials: Sequence[TrialAdapters]) -> None:
        self._loaded = ()  # memory may run out between two layers
        keep = self._graphs is not None
        capacity = max(len(trials), self._capacity if keep else 0)
        none: list[Adapter | None] = [None] * (capacity - len(trials))
        for name, linear in self._linears.items():
            linear.reserve([*(trial.adapters.get(name) for trial in trials), *none], keep=keep)
        self._stacks = [stack for linear in self._linears.values() for stack in linear.stacks]
        parts = [part for stack in self._stacks for part in stack.parts()]
        self._copies = [target for target, _ in parts], [weight for _, weight in parts]
        self._loaded, self._split = tuple(trials), ((), [])

    def _vectors(self, pack_index: PackIndex) -> Tensor:
        """Return the pooled vectors, (rows, width)."""
        assert self._pool is not None, "a trial was admitted"
        return self._pool.packed(self._states(pack_index))

    def _states(self, pack_index: PackIndex) -> PackedStates:
        """Run the headless model. Return its states; `hidden` is (tokens, width)."""
        self._context.set_pack_index(pack_index)
        pad = self._counted_from
        positions = pack_index.position_ids if pad is None else counted_positions(pack_index, pad)
        given: dict[str, Any] = {"input_ids": pack_index.input_ids, "position_ids": positions}
        if pack_index.token_type_ids is not None and "token_type_ids" in self._inputs:
            given["token_type_ids"] = pack_index.token_type_ids
        if "use_cache" in self._inputs:
            given["use_cache"] = False
        with self._without_pooler():
            hidden: Tensor = self._trunk(**given)[0]
        return PackedStates(hidden[0], pack_index, self._pad, lambda states: self._pooled(states, pack_index))

    def _pooled(self, hidden: Tensor, pack_index: PackIndex) -> Tensor:
        """Return the output of the base's own pooler, which is frozen but can have adapters; to
        them each row is one token."""
        with self._context.using(pack_index.of_first):
            pooled: Tensor = cast(nn.Module, self._trunk.pooler)(hidden[pack_index.first][:, None])
        return pooled

    @contextmanager
    def _without_pooler(self) -> Iterator[None]:
        """Disable the base's pooler, which would pool the first row alone. Not every class asks
        whether it has one."""
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
        """Return the id that pads, where positions are counted from it (RoBERTa and its kin); None
        elsewhere."""
        embeddings = getattr(self._trunk, "embeddings", None)
        counted = hasattr(embeddings, "create_position_ids_from_input_ids")
        return int(embeddings.padding_idx) if embeddings is not None and counted else None

    def _add_linears(self, trial: TrialAdapters) -> None:
        for name in trial.adapters:
            if name in self._linears:
                continue
            if not name.startswith(self._prefix):
                raise NotPackable(f"an adapter on {name}, outside the headless model")
            parent, _, attribute = name.rpartition(".")
            owner = self._model.get_submodule(parent)
            linear = MultiAdapterLinear(owner.get_submodule(attribute), self._context).train(self._trunk.training)
            setattr(owner, attribute, linear)
            self._linears[name] = linear

    def _evaluation_batch(self, trial: TrialAdapters, rows: Sequence[Row]) -> PackedBatch:
        """Return a batch of one trial's rows, with the base and the trial's head in eval mode and
        its adapters loaded."""
        self.train(False)
        trial.head.eval()
        self.load([trial])
        return self.batch([rows])

    def _find_pool(self, trial: TrialAdapters, rows: Sequence[Row], expected: Tensor) -> Pool:
        batch = self._evaluation_batch(trial, rows)
        with torch.no_grad():
            with pooled_tokens.behind_attention(self._trunk, self._context) as linears:
                states = self._states(batch)
            logits = [self._logits(pool, trial, states) for pool in self._pools]
        pool = self._pools[fitting(self._name, logits, expected, self._tolerance(expected))]
        if (reads := pool.reads) is not None:
            pooled_tokens.replace(self._trunk, linears, self._context, lambda pack_index: reads(pack_index, self._pad))
        return pool

    def _try_training(self, pool: Pool, trial: TrialAdapters, rows: Sequence[Row]) -> None:
        """Run a forward and a backward pass in training mode, on two short rows. Raises
        NotPackable where a module draws random numbers in a way of its own, as by
        `torch.nn.functional.dropout`: they would not be the trial's."""
        self.train(True)
        self.load([trial])
        stacks = [stack.stacked for stack in self._stacks]
        found = []
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            for seed in range(_TRIES):
                torch.manual_seed(seed)
                before = self._random_state()
                batch = self.batch([rows[:2]], [Noise(0, 0, self.device)])
                vectors = pool.packed(self._states(batch))
                found.append(vectors.detach())
                if self._random_state() == before:
                    break
        if self._context.recomputes and any(turns > 1 for turns in self._context.turns.values()):
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

    def _compare(self, pool: Pool, trial: TrialAdapters, rows: Sequence[Row], expected: Tensor) -> None:
        batch = self._evaluation_batch(trial, rows)
        with torch.no_grad():
            logits = self._logits(pool, trial, self._states(batch))
        fitting(self._name, [logits], expected, self._tolerance(expected))

    @property
    def _name(self) -> str:
        return type(self._model).__name__

    def _tolerance(self, logits: Tensor) -> float:
        return tolerance(logits, self._trunk, self.device.type)

    def _logits(self, pool: Pool, trial: TrialAdapters, states: PackedStates) -> Tensor | None:
        """Return the logits, or None where this pooling does not suit the model or its head."""
        try:
            logits: Tensor = trial.head(pool.packed(states))
        except (AttributeError, TypeError, ValueError, IndexError, KeyError, RuntimeError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            return None
        return logits


class _Unpooled(nn.Module):
    """Stands in for a pooler, and returns its input."""

    def forward(self, hidden: Tensor, *_: Any, **__: Any) -> Tensor:
        return hidden


def _set_mode(module: nn.Module, mode: bool) -> None:
    if module.training is not mode:  # setting it again would walk all modules, at every step
        module.train(mode)
