"""Packed batches of one shape, at one place in memory, over which a CUDA graph can be captured.

A batch of other lengths goes through the same kernels when its sequence is filled up with tokens
that no row reads, its rows with rows that belong to no trial, and all else is computed on the
device from the lengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from sweep.engine.packed.batch import PackedBatch
from sweep.engine.packed.noise import Counted
from sweep.engine.packed.pack_index import ByHead, Draws, Group

_TOKENS = 1024
_ROWS = 8
_LENGTH = 32
_SCORES = 1024  # attention scores of a token in one head; what else a layer keeps of a token is about as much


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of a static batch. At least one token and one row belong to no trial. `typed`:
    with token types."""

    trials: int
    tokens: int
    rows: int
    length: int
    typed: bool

    @classmethod
    def of(cls, batch: PackedBatch) -> Shape:
        """Return the smallest shape that holds a batch. Shapes are few, since each costs a
        recording."""
        rows = len(batch.lengths) + 1
        step = max(_ROWS, _power(rows) // 8)  # the number of rows changes as trials start and end
        length = max(_power(batch.longest), _LENGTH)
        typed = batch.token_type_ids is not None
        return cls(len(batch.rows), rounded(batch.tokens + 1), -(-rows // step) * step, length, typed)

    @property
    def wasteful(self) -> bool:
        """Return whether attention, which pads all rows to the longest, would be most of the
        work."""
        return self.rows * self.length**2 > _SCORES * self.tokens


class StaticPackedBatch:
    """Memory for batches of one shape, filled with one after the other."""

    def __init__(self, shape: Shape, device: torch.device) -> None:
        self._shape = shape
        # One buffer, so that a batch takes one copy. The keys have eight bytes each.
        self._sizes = [2 * shape.trials, shape.trials, shape.rows, shape.tokens, shape.tokens * shape.typed]
        self._held = torch.zeros(sum(self._sizes), dtype=torch.int32, device=device)

    def fill(self, batch: PackedBatch) -> None:
        """Copy a batch into the memory, without waiting for the device."""
        staged = np.zeros(len(self._held), dtype=np.int32)
        keys, row_counts, lengths, ids, types = np.split(staged, np.cumsum(self._sizes)[:-1])
        keys.view(np.int64)[: len(batch.noise)] = [source.key for source in batch.noise]
        row_counts[:] = [len(rows) for rows in batch.rows]
        lengths[: len(batch.lengths)] = batch.lengths
        rows = [row for one in batch.rows for row in one]
        ids[: batch.tokens] = np.concatenate([row.tokens for row in rows])
        if self._shape.typed:
            types[: batch.tokens] = np.concatenate([row.token_types for row in rows if row.token_types is not None])
        self._held.copy_(torch.from_numpy(staged), non_blocking=True)

    def index(self) -> StaticIndex:
        """Return the index of the present batch; each batch needs a new one."""
        keys, *others = torch.split(self._held, self._sizes)
        return StaticIndex(self._shape, keys.view(torch.int64), *others)


@dataclass(frozen=True)
class StaticIndex:
    """A `PackIndex` computed on the device, in shapes that do not depend on the batch. Tokens of
    no trial are counted to the last trial; they attend to each other alone, and nothing that a
    head reads comes from them.

    `keys` and `row_counts` (trials,) are the key of each trial's noise and the number of its rows.
    `lengths` (rows,) are in tokens, zero for a row of no trial; `ids` and `types` are (tokens,).
    """

    shape: Shape
    keys: Tensor
    row_counts: Tensor
    lengths: Tensor
    ids: Tensor
    types: Tensor

    @property
    def device(self) -> torch.device:
        return self.keys.device

    @property
    def tokens(self) -> int:
        return self.shape.tokens

    @cached_property
    def draws(self) -> Draws:
        return Counted(self.keys, self)

    @cached_property
    def input_ids(self) -> Tensor:
        return self.ids.long()[None]

    @cached_property
    def token_type_ids(self) -> Tensor | None:
        return self.types.long()[None] if self.shape.typed else None

    @cached_property
    def position_ids(self) -> Tensor:
        return self._position[None]

    @cached_property
    def trial(self) -> Tensor:
        return self._trial_of_row[self._row]

    @cached_property
    def within(self) -> Tensor:
        return torch.arange(self.tokens, device=self.device) - _before(self._token_ends, self.trial)

    @cached_property
    def offsets(self) -> Tensor:
        ends = self._token_ends.to(torch.int32)
        ends[-1:].fill_(self.tokens)  # `ends[-1] = …` copies from the host, which a graph cannot hold
        return ends

    @cached_property
    def padded(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the whole sequence for each trial, so that shapes stay the same: for types that
        `grouped_mm` does not take."""
        own = self.trial[None] == torch.arange(self.shape.trials, device=self.device)[:, None]
        steps = torch.arange(self.tokens, device=self.device)
        return steps.expand_as(own), own, self.trial * self.tokens + steps

    @cached_property
    def first(self) -> Tensor:
        return self._starts

    @cached_property
    def last(self) -> Tensor:
        return self._starts + (self.lengths - 1).clamp(min=0)

    def last_but(self, token: int | None) -> Tensor:
        if token is None:
            return self.last
        (group,) = self.groups
        assert group.real is not None
        counts = group.real & (self.ids[group.index] != token)
        steps = torch.arange(group.length, device=self.device)
        return self._starts + (steps * counts).amax(dim=1)

    @cached_property
    def of_first(self) -> StaticIndex:
        shape = replace(self.shape, tokens=self.shape.rows, length=1, typed=False)
        lengths = self.lengths.clamp(max=1)
        return StaticIndex(shape, self.keys, self.row_counts, lengths, self.ids[self._starts], self.types[:0])

    @cached_property
    def groups(self) -> Sequence[Group]:
        """Return one group of all rows. A row of no trial attends to the last token of the
        sequence."""
        steps = torch.arange(self.shape.length, device=self.device)
        real = steps < self.lengths[:, None]
        index = self._starts[:, None] + steps * real
        rows = torch.arange(self.shape.rows, device=self.device)
        within = rows - _before(torch.cumsum(self.row_counts, 0), self._trial_of_row)
        return [Group(index, real, self._trial_of_row, within, seen=real | (steps == 0))]

    def by_head(self, heads: int) -> ByHead:
        if heads not in self._by_head:
            (group,) = self.groups
            assert group.real is not None
            each = torch.arange(heads, device=self.device)
            index = (group.index[:, None, :] * heads + each[None, :, None]).reshape(-1)
            padding = ~group.real[:, None, :].expand(-1, heads, -1).reshape(-1, 1)
            back = ((self._row[:, None] * heads + each) * group.length + self._position[:, None]).reshape(-1)
            self._by_head[heads] = ByHead([index], [padding], back)
        return self._by_head[heads]

    def summed(self, values: Tensor) -> Tensor:
        trials = torch.arange(self.shape.trials, device=self.device)
        others = self._trial_of_row != trials[:, None]
        return self._of_rows(values).expand(len(trials), -1, -1).masked_fill(others[..., None], 0.0).sum(dim=1)

    def mean(self, values: Tensor) -> Tensor:
        return self._of_rows(values) / self.lengths.clamp(min=1)[:, None]

    def _of_rows(self, values: Tensor) -> Tensor:
        """Return the sum over each row's tokens, (rows, width). A product with a matrix of ones
        and zeros would carry values that are not finite to other rows."""
        (group,) = self.groups
        assert group.real is not None
        found = values.index_select(0, group.index.reshape(-1)).view(*group.index.shape, -1)
        return found.masked_fill(~group.real[..., None], 0.0).sum(dim=1)

    @cached_property
    def _by_head(self) -> dict[int, ByHead]:
        return {}

    @cached_property
    def _row(self) -> Tensor:
        """Return the row of each token; the last row, which belongs to no trial, where the token
        belongs to none."""
        steps = torch.arange(self.tokens, device=self.device)
        found = torch.searchsorted(torch.cumsum(self.lengths, 0), steps, right=True)
        return found.clamp(max=self.shape.rows - 1)

    @cached_property
    def _real(self) -> Tensor:
        """Return for each token whether it belongs to a trial."""
        return torch.arange(self.tokens, device=self.device) < self.lengths.sum()

    @cached_property
    def _position(self) -> Tensor:
        """Return the position of each token in its row; 0 where the token belongs to no trial."""
        return (torch.arange(self.tokens, device=self.device) - self._starts[self._row]) * self._real

    @cached_property
    def _starts(self) -> Tensor:
        """Return the position of each row's first token; for a row without tokens, the last
        position of the sequence."""
        lengths = self.lengths
        return (torch.cumsum(lengths, 0) - lengths).masked_fill(lengths == 0, self.tokens - 1)

    @cached_property
    def _trial_of_row(self) -> Tensor:
        rows = torch.arange(self.shape.rows, device=self.device)
        found = torch.searchsorted(torch.cumsum(self.row_counts, 0), rows, right=True)
        return found.clamp(max=self.shape.trials - 1)

    @cached_property
    def _token_ends(self) -> Tensor:
        """Return the end of each trial's tokens."""
        return _before(torch.cumsum(self.lengths, 0), torch.cumsum(self.row_counts, 0))


def _before(ends: Tensor, numbers: Tensor) -> Tensor:
    """Return the start of each numbered part, which is the end of the one before it."""
    return ends[numbers - 1].masked_fill(numbers == 0, 0)


def rounded(count: int) -> int:
    """Return the count rounded up to a multiple of 1,024, or to a power of two below it: a large
    GPU takes no longer for that many tokens than for fewer."""
    return -(-count // _TOKENS) * _TOKENS if count > _TOKENS else _power(count)


def _power(count: int) -> int:
    """Return the lowest power of two that is at least `count`."""
    return 1 << (count - 1).bit_length()
