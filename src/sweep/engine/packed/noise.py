"""Random numbers for dropout: each trial has a source, so that its masks depend on nothing but its
seed and batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from sweep.engine.packed.pack_index import Group, PackIndex
from sweep.engine.packed.rates import LEVELS, Rates, levels_of

_PER_WORD = 4  # values from one word of 64 bits

# SplitMix64 (Steele, Lea and Flood 2014, doi 10.1145/2660193.2660195).
_GOLDEN = 0x9E3779B97F4A7C15
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB

# The counters of one pass: each module has a range of its own, larger than it can use.
_PER_MODULE = 2**40
_HEAD_MODULE = 2**22  # the number of the head; no module of a base has one so high
_LONGEST = 2**13  # tokens of a row, for attention


class Noise:
    """The source of random numbers for one forward pass of one trial.

    On the CPU they come from NumPy's SFC64 (Doty-Humphrey 2010), sixteen bits a value: torch's own
    generator takes eight times as long there, a quarter of a training step of a small model. On a
    GPU each word is a function of its number (SplitMix64, whose words are numbered), so that one
    kernel draws for all trials.
    """

    def __init__(self, seed: int, step: int, device: torch.device) -> None:
        self.device = device
        self.key = _signed(splitmix64(seed * 2**31 + step))
        self._bits = np.random.SFC64([seed, step]) if device.type == "cpu" else None
        self._drawn = 0

    def draw(self, count: int) -> Tensor:
        """Return `count` values, int16, evenly distributed over all of its values."""
        words = -(-count // _PER_WORD)
        if self._bits is not None:
            return torch.from_numpy(self._bits.random_raw(words).view(np.int16)[:count])
        start = self.key + (_HEAD_MODULE * _PER_MODULE + self._drawn) * _GOLDEN
        self._drawn += words
        return _values(torch.full((1, 1), _signed(start), device=self.device), words)[0, :count]


@dataclass(frozen=True, slots=True)
class InTurn:
    """Draws each trial's values one after the other, as the modules ask for them."""

    noise: Sequence[Noise]
    counts: Sequence[int]  # tokens of each trial

    def tokens(self, number: int, width: int, rates: float | Rates, dtype: torch.dtype) -> Tensor:  # noqa: ARG002
        each = rates.each if isinstance(rates, Rates) else [rates] * len(self.counts)
        return masks(self.noise, [count * width for count in self.counts], each, dtype).view(-1, width)

    def scores(self, number: int, group: Group, heads: int, rate: float, dtype: torch.dtype) -> Tensor:  # noqa: ARG002
        counts = [rows * heads * group.length**2 for rows in group.counts]
        return masks(self.noise, counts, [rate] * len(counts), dtype).view(-1, group.length, group.length)


@dataclass(frozen=True)
class Counted:
    """Computes each value from its number, which is made of the module's number, and of token and
    column among its trial's. `keys` (trials,) are those of the trials' sources."""

    keys: Tensor
    pack_index: PackIndex

    def tokens(self, number: int, width: int, rates: float | Rates, dtype: torch.dtype) -> Tensor:
        words = -(-width // _PER_WORD)
        start = self._of_token + self.pack_index.within[:, None] * _signed(words * _GOLDEN) + _start(number)
        trial = self.pack_index.trial[:, None]
        return _kept(_values(start, words)[:, :width], rates, trial, dtype)

    def scores(self, number: int, group: Group, heads: int, rate: float, dtype: torch.dtype) -> Tensor:
        each = torch.arange(heads, device=self.keys.device)
        queries = torch.arange(group.length, device=self.keys.device)
        cell = ((group.within[:, None] * heads + each)[..., None] * _LONGEST + queries) * (_LONGEST // _PER_WORD)
        start = self.keys[group.trial][:, None, None] + cell * _signed(_GOLDEN) + _start(number)
        found = _values(start.reshape(-1, 1), -(-group.length // _PER_WORD))[:, : group.length]
        return _kept(found, rate, group.trial, dtype).view(-1, group.length, group.length)

    @cached_property
    def _of_token(self) -> Tensor:
        return self.keys[self.pack_index.trial][:, None]


def masks(noise: Sequence[Noise], counts: Sequence[int], probabilities: Sequence[float], dtype: torch.dtype) -> Tensor:
    """Return the masks of all sources, one after the other; `counts` says how many values each
    draws.

    They are in the values' own type, because a product with booleans takes a CPU five times as
    long.
    """
    if len(set(probabilities)) == 1:
        drawn = [source.draw(count) for source, count in zip(noise, counts, strict=True)]
        return _mask(torch.cat(drawn), probabilities[0], dtype)
    return torch.cat([
        _mask(source.draw(count), one, dtype) if one else torch.ones(count, dtype=dtype, device=source.device)
        for source, count, one in zip(noise, counts, probabilities, strict=True)
    ])  # fmt: skip


def splitmix64(state: int) -> int:
    """Return the word that follows a state."""
    word = (state + _GOLDEN) % 2**64
    word = (word ^ (word >> 30)) * _FIRST % 2**64
    word = (word ^ (word >> 27)) * _SECOND % 2**64
    return word ^ (word >> 31)


def _start(number: int) -> int:
    return _signed(number * _PER_MODULE * _GOLDEN)


def _values(states: Tensor, words: int) -> Tensor:
    """Return the next `words` words after each state (n, 1), as (n, 4 x words) int16. States are
    int64 and wrap around."""
    word = states + torch.arange(1, words + 1, device=states.device) * _signed(_GOLDEN)
    for shift, factor in ((30, _FIRST), (27, _SECOND)):
        word ^= (word >> shift) & (2 ** (64 - shift) - 1)  # the shift itself would draw in the sign
        word *= _signed(factor)
    word ^= (word >> 31) & (2**33 - 1)
    return word.view(torch.int16)


def _kept(drawn: Tensor, rates: float | Rates, trial: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the mask for `drawn` (n, m), with one rate for all, or that of the trial of each
    row."""
    if not isinstance(rates, Rates):
        return _mask(drawn, rates, dtype)
    levels = rates.levels[trial]
    return torch.ge(drawn, levels - LEVELS // 2).to(dtype) * (LEVELS / (LEVELS - levels)).to(dtype)


def _mask(drawn: Tensor, probability: float, dtype: torch.dtype) -> Tensor:
    dropped = levels_of(probability)
    kept = torch.empty(drawn.shape, dtype=dtype, device=drawn.device)
    torch.ge(drawn, dropped - LEVELS // 2, out=kept)
    return kept.mul_(LEVELS / (LEVELS - dropped))


def _signed(word: int) -> int:
    """Return the number that 64 bits are in two's complement."""
    word %= 2**64
    return word - 2**64 if word >= 2**63 else word
