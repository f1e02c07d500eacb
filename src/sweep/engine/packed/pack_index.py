"""The positions of tokens, rows and trials in a pack, as the modules of a packed model read
them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from sweep.engine.packed.rates import Rates


class Draws(Protocol):
    """The dropout masks of one pass: the factors of values, 0 with the probability of dropout, and
    otherwise the factor that keeps the mean. `number` is that of the module that drops. A trial
    with a rate of 0 draws nothing, whatever the others do."""

    def tokens(self, number: int, width: int, rates: float | Rates, dtype: torch.dtype) -> Tensor:
        """Return the mask of all tokens, (tokens, width)."""

    def scores(self, number: int, group: Group, heads: int, rate: float, dtype: torch.dtype) -> Tensor:
        """Return the mask of the scores of a group, (rows x heads, length, length)."""


class PackIndex(Protocol):
    """The positions of the tokens, rows and trials of a pack, as its modules need them. A trial
    may have no rows."""

    @property
    def device(self) -> torch.device: ...

    @property
    def tokens(self) -> int: ...

    @property
    def draws(self) -> Draws | None:
        """Return the source of dropout masks; None where the pack is evaluated."""

    @property
    def input_ids(self) -> Tensor:
        """Return the ids of all tokens, (1, tokens)."""

    @property
    def token_type_ids(self) -> Tensor | None:
        """Return the types of all tokens, (1, tokens); None for a model without them."""

    @property
    def position_ids(self) -> Tensor:
        """Return the positions of all tokens, (1, tokens), from 0 in each row."""

    @property
    def trial(self) -> Tensor:
        """Return the number of each token's trial in the pack, (tokens,)."""

    @property
    def within(self) -> Tensor:
        """Return the number of each token among those of its trial, (tokens,)."""

    @property
    def offsets(self) -> Tensor:
        """Return the end of each trial's tokens, (trials,), as `torch.nn.functional.grouped_mm`
        takes it."""

    @property
    def padded(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the indices of batched products, with the tokens of each trial padded to the most
        that one has: their positions (trials, most), a mask of the real ones (trials, most), and
        the position of each token of the pack in the padded order (tokens,)."""

    @property
    def first(self) -> Tensor:
        """Return the position of each row's first token, (rows,)."""

    @property
    def last(self) -> Tensor:
        """Return the position of each row's last token, (rows,)."""

    def last_but(self, token: int | None) -> Tensor:
        """Return the position of each row's last token other than `token`, (rows,); its first one
        where there is no other."""

    @property
    def of_first(self) -> PackIndex:
        """Return the same rows, each with its first token alone."""

    @property
    def groups(self) -> Sequence[Group]: ...

    def by_head(self, heads: int) -> ByHead:
        """Return the positions of attention's vectors among those of all tokens and heads."""

    def summed(self, values: Tensor) -> Tensor:
        """Return the sum over each trial's tokens, (tokens, a) → (trials, a)."""

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over each row's tokens, (tokens, a) → (rows, a)."""


@dataclass(frozen=True)
class Group:
    """Rows of similar length, for attention.

    `index` (rows, length) holds the positions of each row's tokens; a shorter row is filled up
    with its first one. `real`, of the same shape, is False there; None where no row is shorter.
    `seen` says which tokens are keys that the row attends to; `real` if not given. `trial` and
    `within` (rows,) are the number of each row's trial in the pack, and its own among that
    trial's. `counts` are the rows of each trial.
    """

    index: Tensor
    real: Tensor | None
    trial: Tensor
    within: Tensor
    counts: tuple[int, ...] = ()
    seen: Tensor | None = None

    @cached_property
    def unseen(self) -> Tensor | None:
        """Return what is added to scores, (rows, 1, 1, length): -inf where a key is not seen; None
        where all are."""
        seen = self.real if self.seen is None else self.seen
        if seen is None:
            return None
        return torch.zeros(seen.shape, device=seen.device).masked_fill_(~seen, -torch.inf)[:, None, None]

    @property
    def rows(self) -> int:
        return self.index.shape[0]

    @property
    def length(self) -> int:
        return self.index.shape[1]


@dataclass(frozen=True, slots=True)
class ByHead:
    """The positions of attention's vectors. For each group, `index` is (rows x heads x length,),
    and `padding` (rows x heads x length, 1) says which of them only pad, None where none does.
    `back` (tokens x heads,) is the position of each vector among those of all groups."""

    index: list[Tensor]
    padding: list[Tensor | None]
    back: Tensor

    @classmethod
    def of(cls, pack_index: PackIndex, heads: int) -> ByHead:
        each = torch.arange(heads, device=pack_index.device)[None, :, None]
        index = [(group.index[:, None, :] * heads + each).reshape(-1) for group in pack_index.groups]
        reals = [group.real for group in pack_index.groups]
        real = [None if one is None else one[:, None, :].expand(-1, heads, -1).reshape(-1) for one in reals]
        back = torch.empty(pack_index.tokens * heads, dtype=torch.long, device=pack_index.device)
        start = 0
        for positions, kept in zip(index, real, strict=True):
            here = torch.arange(start, start + len(positions), device=pack_index.device)
            start += len(positions)
            back[positions if kept is None else positions[kept]] = here if kept is None else here[kept]
        return cls(index, [None if one is None else ~one[:, None] for one in real], back)


def counted_positions(pack_index: PackIndex, pad: int) -> Tensor:
    """Return the positions of RoBERTa and its kin, (1, tokens): counted in each row from behind
    the id `pad`, over the tokens that are not it. A text may hold that id, where its tokenizer
    pads with another."""
    positions = pack_index.position_ids
    padding = (pack_index.input_ids == pad).long()
    so_far = padding.cumsum(1)
    first = (torch.arange(positions.shape[1], device=positions.device) - positions).clamp(min=0)
    left_out = so_far - so_far.gather(1, first) + padding.gather(1, first)
    return torch.where(padding.bool(), pad, positions + 1 + pad - left_out)
