"""How many trials fit: slots, the parts that a pass is taken in, and what a measured pass says about both."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import torch

from sweep.train.seat import Seat

_MOST = {"cpu": 8, "cuda": 32}  # under auto; more trials at once know less of each other's results
_EVAL_TOKENS = {"cpu": 1024, "cuda": 16384}  # in one forward pass of an evaluation


@dataclass(slots=True)
class Room:
    device: torch.device
    wanted: int | Literal["auto"]
    at_once: int | None = None  # trials that a pass carries, where memory has run out with more
    eval_tokens: int = field(init=False)

    def __post_init__(self) -> None:
        self.eval_tokens = _EVAL_TOKENS.get(self.device.type, 1024)

    @property
    def slots(self) -> int:
        wanted = _MOST.get(self.device.type, 8) if self.wanted == "auto" else self.wanted
        return min(wanted, self.at_once or wanted)

    def parts(self, seats: Sequence[Seat]) -> Iterator[Sequence[Seat]]:
        """The seats in stretches that a pass can carry; asked anew for each, since memory may run out on the way."""
        start = 0
        while start < len(seats):
            stop = start + (self.at_once or len(seats))
            yield seats[start:stop]
            start = stop

    def shrink(self, trials: int) -> None:
        self.at_once = max(1, min(trials, self.at_once or trials))

    def shrink_evaluation(self, lengths: Sequence[int]) -> bool:
        """False where a pass already holds a single row."""
        if self.eval_tokens <= max(lengths):
            return False
        self.eval_tokens //= 2
        return True

    @contextmanager
    def measured(self, seats: Sequence[Seat]) -> Iterator[None]:
        """Charge each trial with its share of the time, by tokens."""
        started = time.perf_counter()
        yield
        spent = time.perf_counter() - started
        tokens = [sum(len(seat.train.rows[row]) for row in seat.waiting[0]) for seat in seats]
        for seat, count in zip(seats, tokens, strict=True):
            seat.clock.charge(training=spent * count / sum(tokens))
