"""Parts of a pack that go through at the same time: on a CPU one for each core.

On few cores a product of small matrices is done sooner by one core alone than by all together: they need not wait for each
other, and each keeps its part in its own cache.
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
from sweep.engine.packed.slot import Slot

R = TypeVar("R")

_MOST = 4  # further cores share the work of one


@dataclass(frozen=True, slots=True)
class CpuShards:
    count: int
    pool: ThreadPoolExecutor | None

    @classmethod
    @contextmanager
    def open(cls, device: torch.device) -> Iterator[CpuShards]:
        threads = torch.get_num_threads()
        count = min(threads, _MOST) if device.type == "cpu" else 1
        if count == 1:
            yield cls(1, None)
            return
        with ThreadPoolExecutor(count, "lane", torch.set_num_threads, (threads // count,)) as pool:
            yield cls(count, pool)
        torch.set_num_threads(threads)

    def run(
        self,
        work: Callable[[PackedModel, Sequence[Slot]], R],
        carriers: Sequence[PackedModel],
        parts: Sequence[Sequence[Slot]],
    ) -> list[tuple[Sequence[Slot], R | BaseException]]:
        """For each part what `work` gives or raises, in the order of the parts. A lane has a carrier of its own."""

        def lane(number: int) -> list[R | BaseException]:
            return [memory.tried(partial(work, carriers[number], part)) for part in parts[number :: len(carriers)]]

        if self.pool is None or len(parts) == 1 or len(carriers) == 1:
            found = [lane(number) for number in range(len(carriers))]
        else:
            found = list(self.pool.map(lane, range(len(carriers))))
        return [(part, found[place % len(carriers)][place // len(carriers)]) for place, part in enumerate(parts)]
