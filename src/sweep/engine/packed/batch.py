"""The layout of a pack: all rows end to end in one sequence of tokens, those of a trial together,
without padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, pairwise

import numpy as np
import torch
from torch import Tensor

from sweep.engine.packed.noise import Counted, InTurn, Noise
from sweep.engine.packed.pack_index import ByHead, Draws, Group

# A row takes part in attention padded to the next of these: few groups, little padding, and shapes
# that repeat.
_LENGTHS = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
_BEYOND = 256


@dataclass(frozen=True, slots=True)
class Row:
    """A row's tokens without padding. `token_types` only where the tokenizer gives them."""

    tokens: np.ndarray
    token_types: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True)
class PackedBatch:
    """The `PackIndex` of one batch. `rows` holds the rows of each trial. Dropout draws from
    `noise`, one source a trial; without it, the batch is evaluated. Tensors are on `device`."""

    rows: Sequence[Sequence[Row]]
    device: torch.device
    noise: Sequence[Noise] = ()
    heads: dict[int, ByHead] = field(default_factory=dict)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Return the length of each row in tokens, (rows,)."""
        return np.array([len(row) for one in self.rows for row in one], dtype=np.int64)

    @cached_property
    def starts(self) -> np.ndarray:
        """Return the position of each row's first token, (rows,)."""
        return np.concatenate([[0], np.cumsum(self.lengths)[:-1]])

    @cached_property
    def tokens(self) -> int:
        return int(self.lengths.sum())

    @cached_property
    def counts(self) -> list[int]:
        """Return the number of tokens of each trial."""
        return [sum(len(row) for row in one) for one in self.rows]

    @cached_property
    def spans(self) -> list[tuple[int, int]]:
        """Return the start and the end of each trial's tokens."""
        return list(pairwise([0, *accumulate(self.counts)]))

    @cached_property
    def longest(self) -> int:
        return int(self.lengths.max())

    @cached_property
    def draws(self) -> Draws | None:
        if not self.noise:
            return None
        if self.device.type == "cpu":
            return InTurn(self.noise, self.counts)
        return Counted(self.keys, self)

    @cached_property
    def keys(self) -> Tensor:
        """Return the key of each trial's source of noise, (trials,)."""
        return self._tensor(np.array([source.key for source in self.noise]))

    @cached_property
    def offsets(self) -> Tensor:
        return self._tensor(np.cumsum(self.counts).astype(np.int32))

    @cached_property
    def trial(self) -> Tensor:
        return self._tensor(np.repeat(np.arange(len(self.rows)), self.counts))

    @cached_property
    def within(self) -> Tensor:
        return self._tensor(np.arange(self.tokens) - np.repeat([start for start, _ in self.spans], self.counts))

    @cached_property
    def input_ids(self) -> Tensor:
        return self._sequence([row.tokens for one in self.rows for row in one])

    @cached_property
    def token_type_ids(self) -> Tensor | None:
        types = [row.token_types for one in self.rows for row in one]
        return None if types[0] is None else self._sequence([one for one in types if one is not None])

    @cached_property
    def position_ids(self) -> Tensor:
        return self._tensor(np.arange(self.tokens) - np.repeat(self.starts, self.lengths))[None]

    @cached_property
    def first(self) -> Tensor:
        return self._tensor(self.starts)

    @cached_property
    def of_first(self) -> PackedBatch:
        return PackedBatch([[Row(row.tokens[:1]) for row in one] for one in self.rows], self.device, self.noise)

    @cached_property
    def last(self) -> Tensor:
        return self._tensor(self.starts + self.lengths - 1)

    def last_but(self, token: int | None) -> Tensor:
        ids = np.concatenate([row.tokens for one in self.rows for row in one])
        steps = np.arange(self.tokens) - np.repeat(self.starts, self.lengths)
        return self._tensor(self.starts + np.maximum.reduceat(np.where(ids != token, steps, 0), self.starts))

    @cached_property
    def padded(self) -> tuple[Tensor, Tensor, Tensor]:
        most, starts = max(self.counts), np.array([start for start, _ in self.spans])[:, None]
        steps, counts = np.arange(most)[None], np.array(self.counts)[:, None]
        real = steps < counts
        index = np.where(real, starts + steps, 0)
        return self._tensor(index), self._tensor(real), self._tensor(np.flatnonzero(real))

    @cached_property
    def groups(self) -> list[Group]:
        edges = np.array([edge_of(length) for length in self.lengths])
        return [self._group(np.flatnonzero(edges == edge), int(edge)) for edge in np.unique(edges)]

    def by_head(self, heads: int) -> ByHead:
        if heads not in self.heads:
            self.heads[heads] = ByHead.of(self, heads)
        return self.heads[heads]

    def summed(self, values: Tensor) -> Tensor:
        return torch.stack([part.sum(dim=0) for part in torch.split(values, self.counts)])

    def mean(self, values: Tensor) -> Tensor:
        lengths = torch.from_numpy(self.lengths).to(values.device)
        return torch.segment_reduce(values, "mean", lengths=lengths, axis=0)

    def _group(self, chosen: np.ndarray, edge: int) -> Group:
        held = [len(one) for one in self.rows]
        trial = np.repeat(np.arange(len(held)), held)[chosen]
        within = np.concatenate([np.arange(count) for count in held])[chosen]
        lengths, starts, steps = self.lengths[chosen, None], self.starts[chosen, None], np.arange(edge)[None]
        real = steps < lengths
        index = starts + np.where(real, steps, 0)
        counts = np.bincount(trial, minlength=len(held))
        whole = None if real.all() else self._tensor(real)
        return Group(self._tensor(index), whole, self._tensor(trial), self._tensor(within), tuple(counts.tolist()))

    def _sequence(self, parts: list[np.ndarray]) -> Tensor:
        return self._tensor(np.concatenate(parts).astype(np.int64))[None]

    def _tensor(self, values: np.ndarray) -> Tensor:
        return upload(values, self.device)


def upload(values: np.ndarray, device: torch.device) -> Tensor:
    """Copy to the device without waiting for it: memory that is not pinned has been read when the
    call returns."""
    return torch.from_numpy(np.ascontiguousarray(values)).to(device, non_blocking=True)


def edge_of(length: int) -> int:
    """Return the length that a row is padded to: it depends on the row alone, so that a trial's
    dropout does too."""
    return next((edge for edge in _LENGTHS if edge >= length), -(-length // _BEYOND) * _BEYOND)


def chunks(rows: Sequence[Row], *, at_most: int, tokens: int) -> Iterator[slice]:
    """Yield slices of at most so many rows and, where a slice has more than one row, tokens."""
    start = held = 0
    for number, row in enumerate(rows):
        if number > start and (number - start >= at_most or held + len(row) > tokens):
            yield slice(start, number)
            start, held = number, 0
        held += len(row)
    if start < len(rows):
        yield slice(start, len(rows))
