"""Parts of a pack that run at the same time: on a CPU one for each core.

On few cores a product of small matrices is done sooner by one core alone than by all together:
they need not wait for each other, and each keeps its part in its own cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch

from sweep.engine import memory
from sweep.engine.packed.packed_model import PackedModel

P = TypeVar("P")
R = TypeVar("R")

_MOST = 4  # further cores join in the work of one shard


@dataclass(frozen=True, slots=True)
class CpuShards:
    """The threads that compute a pack in `count` parts; one part has no `pool`."""

    count: int
    pool: ThreadPoolExecutor | None

    @classmethod
    @contextmanager
    def open(cls, device: torch.device) -> Iterator[CpuShards]:
        """Start the threads of the shards, each with its part of the cores; a GPU has one shard
        and needs no thread."""
        threads = torch.get_num_threads()
        count = min(threads, _MOST) if device.type == "cpu" else 1
        if count == 1:
            yield cls(1, None)
            return
        with ThreadPoolExecutor(count, "shard", torch.set_num_threads, (threads // count,)) as pool:
            yield cls(count, pool)
        torch.set_num_threads(threads)

    def run(
        self,
        work: Callable[[PackedModel, P], R],
        models: Sequence[PackedModel],
        parts: Sequence[P],
    ) -> list[tuple[P, R | BaseException]]:
        """Run `work` for each part. Return each part, in their order, with what `work` returned or
        the error of running out of memory. Each shard has a model of its own."""

        def shard(number: int) -> list[R | BaseException]:
            return [memory.tried(partial(work, models[number], part)) for part in parts[number :: len(models)]]

        if self.pool is None or len(parts) == 1 or len(models) == 1:
            found = [shard(number) for number in range(len(models))]
        else:
            found = list(self.pool.map(shard, range(len(models))))
        return [(part, found[number % len(models)][number // len(models)]) for number, part in enumerate(parts)]
