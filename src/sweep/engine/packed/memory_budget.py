"""The number of trials that fit, and the division of a pass over them: by cores, and by what
memory holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import torch

from sweep.engine import memory
from sweep.engine.packed.slot import Slot

_MOST = {"cpu": 8, "cuda": 32}  # slots, for auto
_EVAL_TOKENS = {"cpu": 1024, "cuda": 16384}  # in one forward pass of an evaluation
_SPARE = 0.2  # the part of the free memory that stays free


@dataclass(slots=True)
class MemoryBudget:
    """The number of slots, and the sizes of passes that fit the memory. `wanted` is the number of
    slots that the config asks for. `shards` is the number of parts of a pack that run at the same
    time; under auto, slots are whole trials of `together` folds where memory holds one."""

    device: torch.device
    wanted: int | Literal["auto"]
    shards: int
    together: int = 1
    fitting: int = 1  # trials that memory holds, by a measured step; under auto the first one trains alone
    at_once: int | None = None  # trials in one pass after memory ran out with more
    eval_tokens: int = field(init=False)

    def __post_init__(self) -> None:
        self.eval_tokens = _EVAL_TOKENS.get(self.device.type, 1024)

    @property
    def slots(self) -> int:
        """Return how many trials may be open; those that do not go through together go one part
        after the other."""
        most = max(_MOST.get(self.device.type, 8), self.together)
        if self.wanted != "auto":
            return self.wanted
        found = min(self.fitting, most)
        return found - found % self.together if found > self.together else found

    def parts(self, slots: Sequence[Slot], weights: Sequence[int]) -> list[Sequence[Slot]]:
        """Return the slots in parts for the shards: no more slots in a part than may go through at
        once, and parts of like weight."""
        most = self.at_once or len(slots)
        size = max(1, min(-(-len(slots) // self.shards), most // self.shards))
        found: list[list[Slot]] = [[] for _ in range(-(-len(slots) // size))]
        loads = [0] * len(found)
        for weight, slot in sorted(zip(weights, slots, strict=True), key=lambda pair: -pair[0]):
            lightest = min((part for part, held in enumerate(found) if len(held) < size), key=loads.__getitem__)
            found[lightest].append(slot)
            loads[lightest] += weight
        return list(found)

    def shrink(self, trials: int) -> None:
        """Let no more than so many trials go through at once from now on."""
        self.at_once = max(1, min(self.at_once or trials, trials))
        self.shards = min(self.shards, self.at_once)

    def shrink_evaluation(self, longest: int) -> bool:
        """Halve the tokens of an evaluation's pass. Return False where a pass holds a single row
        already."""
        if self.eval_tokens <= longest:
            return False
        self.eval_tokens //= 2
        return True

    @contextmanager
    def measured(self, slots: Sequence[Slot]) -> Iterator[None]:
        """Measure the first step, to estimate how many trials like it the free memory holds, or
        this worker's part of it."""
        if self.wanted != "auto" or self.fitting > 1:
            yield
            return
        memory.reset_peaks(self.device)
        before = memory.in_use(self.device)
        yield
        taken = max(memory.peak(self.device) - before, 1)
        tokens = sum(slot.batch_tokens for slot in slots)
        worst = max(slot.settings.trainer.per_device_train_batch_size * max(slot.train.lengths) for slot in slots)
        of_one = taken / tokens * worst + max(slot.bytes for slot in slots)
        free = memory.free(self.device, max(slot.plan.workers for slot in slots))
        self.fitting = max(2, 1 + int(free * (1 - _SPARE) / of_one))
