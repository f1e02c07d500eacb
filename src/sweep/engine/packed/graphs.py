"""Training passes as CUDA graphs (`torch.cuda.CUDAGraph`): a forward and a backward one for each
shape of batch. A small pack on a large GPU waits for its kernel launches, thousands a step; a
graph has one."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from sweep.engine.packed.adapters import StackedWeights
from sweep.engine.packed.batch import PackedBatch
from sweep.engine.packed.pack_index import PackIndex
from sweep.engine.packed.static_batch import Shape, StaticPackedBatch
from sweep.errors import first_line

logger = logging.getLogger(__name__)

_MOST = 48  # shapes kept

Signature = tuple[Any, ...]
Compute = Callable[[PackIndex], Tensor]
Gradients = Sequence[Tensor | None]


@dataclass(frozen=True, slots=True)
class Forward:
    """The result of a forward pass. `vectors` are those of the rows, (rows, width). `back` takes
    their gradient and returns the gradients of the stacked weights. Both are valid until the next
    pass."""

    vectors: Tensor
    back: Callable[[Tensor], Gradients]


class Player(Protocol):
    """Runs recorded work again: the same kernels on the same memory."""

    def warm(self, work: Callable[[], None]) -> None:
        """Run the work once before it is recorded."""

    def record(self, work: Callable[[], None]) -> Callable[[], object]:
        """Record the work. Return a function that runs it again."""

    def forget(self) -> None:
        """Drop all recordings."""


class CudaPlayer:
    """Runs CUDA graphs. All of them share the memory of their intermediate results: one runs at a
    time."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def warm(self, work: Callable[[], None]) -> None:
        """Run the work once: libraries initialise themselves the first time, which cannot be
        captured."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            work()
        torch.cuda.current_stream().wait_stream(self._stream)

    def record(self, work: Callable[[], None]) -> Callable[[], object]:
        graph = torch.cuda.CUDAGraph()
        stream, generator = torch.cuda.current_stream(), torch.cuda.default_generators[torch.cuda.current_device()]
        numbers = generator.clone_state()
        try:
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
                work()
        except RuntimeError:
            # A failed capture leaves the stream and the generator in the state of an unfinished
            # capture.
            torch.cuda.set_stream(stream)
            generator.graphsafe_set_state(numbers)
            raise
        return graph.replay

    def forget(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()  # a pool ends with the last of its graphs


class Graphs:
    """The recorded passes of one `PackedModel`. All are dropped when its adapters have moved in
    memory. Where a pass cannot be recorded, a warning says so, and no further one is."""

    def __init__(self, player: Player) -> None:
        self._player = player
        self._off = False
        self._signature: Signature = ()
        self._stacks: Sequence[StackedWeights] = ()  # kept alive, so that no other tensor gets an id in the signature
        self._gradients: list[Tensor] = []
        self._passes: OrderedDict[Shape, _Pass] = OrderedDict()

    def forward(
        self, batch: PackedBatch, signature: Signature, compute: Compute, stacks: Sequence[StackedWeights]
    ) -> Forward | None:
        """Run a recorded pass, and record it first where it is new. Return None where the pass is
        to be run without a recording. `compute` returns the vectors of a batch, (rows, width),
        from `stacks`; `signature` tells all else that it depends on."""
        if self._off or batch.draws is None:
            return None
        if signature != self._signature:
            self.release()
            self._signature, self._stacks = signature, stacks
        shape = Shape.of(batch)
        if shape.wasteful or (shape not in self._passes and not self._record(shape, batch, compute)):
            return None
        self._passes.move_to_end(shape)
        return self._passes[shape].run(batch)

    def release(self) -> None:
        self._passes.clear()
        self._player.forget()
        self._gradients, self._stacks, self._signature = [], (), ()

    def _record(self, shape: Shape, batch: PackedBatch, compute: Compute) -> bool:
        stacks = [stack.stacked for stack in self._stacks]
        try:
            self._gradients = self._gradients or [torch.zeros_like(stack) for stack in stacks]
            one = _Pass(StaticPackedBatch(shape, batch.device), compute, stacks, self._gradients)
            one.record(batch, self._player)
        except (RuntimeError, MemoryError) as error:
            logger.warning(f"CUDA graphs are off: {first_line(error)}")
            self._off = True
            self.release()
            return False
        while len(self._passes) >= _MOST:
            self._passes.popitem(last=False)
        self._passes[shape] = one
        return True


class _Pass:
    def __init__(
        self, static: StaticPackedBatch, compute: Compute, stacks: Sequence[Tensor], gradients: Sequence[Tensor]
    ) -> None:
        self._static, self._compute = static, compute
        self._stacks, self._gradients = stacks, gradients

    def record(self, batch: PackedBatch, player: Player) -> None:
        self._static.fill(batch)
        player.warm(self._run_forward)
        self._given = torch.zeros_like(self._vectors)
        player.warm(self._run_backward)
        self._forward = player.record(self._run_forward)
        self._backward = player.record(self._run_backward)

    def run(self, batch: PackedBatch) -> Forward:
        self._static.fill(batch)
        self._forward()
        return Forward(self._vectors[: len(batch.lengths)], self._back)

    def _back(self, given: Tensor) -> Gradients:
        self._given.zero_()
        self._given[: len(given)] = given
        self._backward()
        return [one if used else None for one, used in zip(self._gradients, self._used, strict=True)]

    def _run_forward(self) -> None:
        self._live = self._uncached()
        self._vectors = self._live.detach()

    def _run_backward(self) -> None:
        found = torch.autograd.grad(self._live, self._stacks, self._given, allow_unused=True)
        del self._live
        self._used = [one is not None for one in found]
        for target, one in zip(self._gradients, found, strict=True):
            if one is not None:
                target.copy_(one)

    def _uncached(self) -> Tensor:
        """Return the vectors, computed without autocast's cache, which would keep casts for longer
        than the recording."""
        kind = self._stacks[0].device.type
        enabled, dtype = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
        with torch.autocast(kind, dtype, enabled=enabled, cache_enabled=False):
            return self._compute(self._static.index())


def graphs_for(device: torch.device, *, bf16: bool) -> Graphs | None:
    """Return the recorder of a pack in bfloat16 on a GPU, where products are grouped, else None:
    padded products would have shapes that depend on the lengths of the rows."""
    return Graphs(CudaPlayer()) if device.type == "cuda" and bf16 else None
