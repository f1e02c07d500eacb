"""How many trials fit, and how a pass over them is divided: by cores, and by what memory holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import torch

from sweep.engine import memory
from sweep.engine.packed.slot import Slot

_MOST = {"cpu": 8, "cuda": 32}  # under auto: a trial begun with others knows nothing of their results
_EVAL_TOKENS = {"cpu": 1024, "cuda": 16384}  # in one forward pass of an evaluation
_SPARE = 0.2  # of the memory that is free


@dataclass(slots=True)
class MemoryBudget:
    """`lanes` is how many parts of a pack go through at the same time."""

    device: torch.device
    wanted: int | Literal["auto"]
    lanes: int
    most: int | None = None
    fitting: int = 1  # trials that memory holds, by a measured step; under auto the first one goes alone
    at_once: int | None = None  # trials that went through together when memory ran out with more
    eval_tokens: int = field(init=False)

    def __post_init__(self) -> None:
        self.eval_tokens = _EVAL_TOKENS.get(self.device.type, 1024)

    @property
    def slots(self) -> int:
        """Trials that may have a seat; those that do not go through together go one part after the other."""
        most = _MOST.get(self.device.type, 8)
        return min(self.fitting, most, self.most or most) if self.wanted == "auto" else self.wanted

    def parts(self, seats: Sequence[Slot], weights: Sequence[int]) -> list[Sequence[Slot]]:
        """For each lane in turn, no more seats than may go through at once, and of like weight together."""
        most = self.at_once or len(seats)
        size = max(1, min(-(-len(seats) // self.lanes), most // self.lanes))
        found: list[list[Slot]] = [[] for _ in range(-(-len(seats) // size))]
        loads = [0] * len(found)
        for weight, seat in sorted(zip(weights, seats, strict=True), key=lambda pair: -pair[0]):
            lightest = min((place for place, part in enumerate(found) if len(part) < size), key=loads.__getitem__)
            found[lightest].append(seat)
            loads[lightest] += weight
        return list(found)

    def shrink(self, trials: int) -> None:
        self.at_once = max(1, min(self.at_once or trials, trials))
        self.lanes = min(self.lanes, self.at_once)

    def shrink_evaluation(self, longest: int) -> bool:
        """False where a pass holds a single row already."""
        if self.eval_tokens <= longest:
            return False
        self.eval_tokens //= 2
        return True

    @contextmanager
    def measured(self, seats: Sequence[Slot]) -> Iterator[None]:
        """See, by the first step, how many trials like it the free memory holds."""
        if self.wanted != "auto" or self.fitting > 1:
            yield
            return
        memory.reset_peaks(self.device)
        before = memory.in_use(self.device)
        yield
        taken = max(memory.peak(self.device) - before, 1)
        tokens = sum(seat.batch_tokens for seat in seats)
        worst = max(seat.plan.config.trainer.per_device_train_batch_size * max(seat.train.lengths) for seat in seats)
        of_one = taken / tokens * worst + max(seat.bytes for seat in seats)
        self.fitting = max(2, 1 + int(memory.free(self.device) * (1 - _SPARE) / of_one))
