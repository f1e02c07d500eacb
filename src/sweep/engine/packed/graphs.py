"""Passes of training as CUDA graphs: a small pack on a large GPU waits for its launches, thousands a step, and a graph has
one. PyTorch's own (`torch.cuda.CUDAGraph`), a forward and a backward one for each shape of pack."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from sweep.engine.packed.adapters import StackedWeights
from sweep.engine.packed.batch import PackedBatch, PackIndex
from sweep.engine.packed.static_batch import Shape, StaticPackedBatch
from sweep.errors import first_line

logger = logging.getLogger(__name__)

_MOST = 48  # shapes that are kept

Signature = tuple[Any, ...]
Compute = Callable[[PackIndex], Tensor]
Gradients = Sequence[Tensor | None]


@dataclass(frozen=True, slots=True)
class Forward:
    """`vectors` are those of a pack's rows, (rows, width). `back` takes their gradient and gives those of the leaves; both hold
    until the next pass."""

    vectors: Tensor
    back: Callable[[Tensor], Gradients]


class Player(Protocol):
    """Runs again what it has recorded: the same kernels on the same places in memory."""

    def warm(self, work: Callable[[], None]) -> None:
        """Run it once before it is recorded."""

    def record(self, work: Callable[[], None]) -> Callable[[], object]:
        """What runs it again."""

    def forget(self) -> None:
        """None of what was recorded is run again."""


class CudaPlayer:
    """All graphs share the memory of what they compute on the way: one runs at a time."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def warm(self, work: Callable[[], None]) -> None:
        """Libraries set themselves up the first time, which a capture cannot hold."""
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
            # A capture that fails leaves both as they are in the middle of one.
            torch.cuda.set_stream(stream)
            generator.graphsafe_set_state(numbers)
            raise
        return graph.replay

    def forget(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()  # a pool ends with the last of its graphs


class Graphs:
    """The passes of one carrier. All are dropped when its adapters have moved. Where a pass cannot be recorded, a line says so
    and none is from then on."""

    def __init__(self, player: Player) -> None:
        self._player = player
        self._off = False
        self._signature: Signature = ()
        self._leaves: Sequence[StackedWeights] = ()  # held, so that a signature stays theirs
        self._gradients: list[Tensor] = []
        self._passes: OrderedDict[Shape, _Pass] = OrderedDict()

    def forward(
        self, layout: PackedBatch, signature: Signature, compute: Compute, leaves: Sequence[StackedWeights]
    ) -> Forward | None:
        """None where the pass is to be run as it is. `compute` gives the vectors of a pack, (rows, width), from `leaves`, and
        `signature` tells all else that it depends on."""
        if self._off or layout.draws is None:
            return None
        if signature != self._signature:
            self.release()
            self._signature, self._leaves = signature, leaves
        shape = Shape.of(layout)
        if shape.wasteful or (shape not in self._passes and not self._record(shape, layout, compute)):
            return None
        self._passes.move_to_end(shape)
        return self._passes[shape].run(layout)

    def release(self) -> None:
        self._passes.clear()
        self._player.forget()
        self._gradients, self._leaves, self._signature = [], (), ()

    def _record(self, shape: Shape, layout: PackedBatch, compute: Compute) -> bool:
        stacks = [leaf.stacked for leaf in self._leaves]
        try:
            self._gradients = self._gradients or [torch.zeros_like(stack) for stack in stacks]
            one = _Pass(StaticPackedBatch(shape, layout.device), compute, stacks, self._gradients)
            one.record(layout, self._player)
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
        self, frame: StaticPackedBatch, compute: Compute, stacks: Sequence[Tensor], gradients: Sequence[Tensor]
    ) -> None:
        self._frame, self._compute = frame, compute
        self._stacks, self._gradients = stacks, gradients

    def record(self, layout: PackedBatch, player: Player) -> None:
        self._frame.fill(layout)
        player.warm(self._go)
        self._given = torch.zeros_like(self._vectors)
        player.warm(self._come_back)
        self._forward = player.record(self._go)
        self._backward = player.record(self._come_back)

    def run(self, layout: PackedBatch) -> Forward:
        self._frame.fill(layout)
        self._forward()
        return Forward(self._vectors[: len(layout.lengths)], self._back)

    def _back(self, given: Tensor) -> Gradients:
        self._given.zero_()
        self._given[: len(given)] = given
        self._backward()
        return [one if used else None for one, used in zip(self._gradients, self._used, strict=True)]

    def _go(self) -> None:
        self._live = self._uncached()
        self._vectors = self._live.detach()

    def _come_back(self) -> None:
        found = torch.autograd.grad(self._live, self._stacks, self._given, allow_unused=True)
        del self._live
        self._used = [one is not None for one in found]
        for place, one in zip(self._gradients, found, strict=True):
            if one is not None:
                place.copy_(one)

    def _uncached(self) -> Tensor:
        """Autocast would keep casts for longer than the recording."""
        kind = self._stacks[0].device.type
        enabled, dtype = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
        with torch.autocast(kind, dtype, enabled=enabled, cache_enabled=False):
            return self._compute(self._frame.places())


def graphs_for(device: torch.device, *, bf16: bool) -> Graphs | None:
    """Where products of a pack are grouped, in bfloat16 on a GPU: padded ones would have shapes that lengths decide."""
    return Graphs(CudaPlayer()) if device.type == "cuda" and bf16 else None
