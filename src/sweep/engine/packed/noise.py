"""Random numbers for dropout: a source for each trial, so that a trial's masks depend on nothing but its seed and step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from sweep.engine.packed.batch import Group, PackIndex

_LEVELS = 2**16
_LANES = 4  # values from one word of 64 bits

# SplitMix64 (Steele, Lea and Flood 2014, doi 10.1145/2660193.2660195).
_GOLDEN = 0x9E3779B97F4A7C15
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB

# How the counters of one pass are shared out: to each place of the model its own, more than it can use.
_OF_PLACE = 2**40
_OF_HEAD = 2**22  # no place of a base is numbered so high
_LONGEST = 2**13  # tokens of a row, for attention


class Noise:
    """Draws for one forward pass of one trial.

    On the CPU they come from NumPy's SFC64 (Doty-Humphrey 2010), sixteen bits a value: torch's own generator takes eight
    times as long there, a quarter of a training step of a small model. On a GPU each word is a function of its number
    (SplitMix64, whose words are numbered), so that one kernel draws for all trials.
    """

    def __init__(self, seed: int, step: int, device: torch.device) -> None:
        self.device = device
        self.key = _signed(splitmix64(seed * 2**31 + step))
        self._bits = np.random.SFC64([seed, step]) if device.type == "cpu" else None
        self._drawn = 0

    def draw(self, count: int) -> Tensor:
        """(count,), int16, evenly over all its values."""
        words = -(-count // _LANES)
        if self._bits is not None:
            return torch.from_numpy(self._bits.random_raw(words).view(np.int16)[:count])
        start = self.key + (_OF_HEAD * _OF_PLACE + self._drawn) * _GOLDEN
        self._drawn += words
        return _values(torch.full((1, 1), _signed(start), device=self.device), words)[0, :count]


@dataclass(frozen=True, slots=True)
class Rates:
    """The dropout of each trial of a pack at one place. `levels` (trials,) are how many of 65,536 draws are dropped."""

    each: Sequence[float]
    levels: Tensor

    @classmethod
    def of(cls, each: Sequence[float], device: torch.device) -> Rates:
        return cls(each, torch.tensor([levels_of(one) for one in each], dtype=torch.int32, device=device))

    def taking(self, each: Sequence[float]) -> Rates:
        """Others, in the same place in memory."""
        self.levels.copy_(torch.tensor([levels_of(one) for one in each], dtype=torch.int32))
        return Rates(each, self.levels)


class Draws(Protocol):
    """The masks of one pass of a pack: what values are multiplied with under dropout, 0 with its probability, and
    otherwise what keeps the mean. `place` numbers the module that drops. A trial with a rate of 0 draws nothing, whatever
    the others do."""

    def tokens(self, place: int, width: int, rates: float | Rates, dtype: torch.dtype) -> Tensor:
        """(tokens, width)"""

    def scores(self, place: int, group: Group, heads: int, rate: float, dtype: torch.dtype) -> Tensor:
        """(rows x heads, length, length)"""


@dataclass(frozen=True, slots=True)
class InTurn:
    """Each trial's values one after the other, as the modules ask for them."""

    noise: Sequence[Noise]
    counts: Sequence[int]  # tokens of each trial

    def tokens(self, place: int, width: int, rates: float | Rates, dtype: torch.dtype) -> Tensor:  # noqa: ARG002
        each = rates.each if isinstance(rates, Rates) else [rates] * len(self.counts)
        return masks(self.noise, [count * width for count in self.counts], each, dtype).view(-1, width)

    def scores(self, place: int, group: Group, heads: int, rate: float, dtype: torch.dtype) -> Tensor:  # noqa: ARG002
        counts = [rows * heads * group.length**2 for rows in group.counts]
        return masks(self.noise, counts, [rate] * len(counts), dtype).view(-1, group.length, group.length)


@dataclass(frozen=True)
class Counted:
    """Each value from its number: that of the place, and of token and column among its trial's. `keys` (trials,) are those
    of the trials' sources."""

    keys: Tensor
    places: PackIndex

    def tokens(self, place: int, width: int, rates: float | Rates, dtype: torch.dtype) -> Tensor:
        words = -(-width // _LANES)
        start = self._of_token + self.places.within[:, None] * _signed(words * _GOLDEN) + _start(place)
        trial = self.places.trial[:, None]
        return _kept(_values(start, words)[:, :width], rates, trial, dtype)

    def scores(self, place: int, group: Group, heads: int, rate: float, dtype: torch.dtype) -> Tensor:
        each = torch.arange(heads, device=self.keys.device)
        queries = torch.arange(group.length, device=self.keys.device)
        number = ((group.within[:, None] * heads + each)[..., None] * _LONGEST + queries) * (_LONGEST // _LANES)
        start = self.keys[group.trial][:, None, None] + number * _signed(_GOLDEN) + _start(place)
        found = _values(start.reshape(-1, 1), -(-group.length // _LANES))[:, : group.length]
        return _kept(found, rate, group.trial, dtype).view(-1, group.length, group.length)

    @cached_property
    def _of_token(self) -> Tensor:
        return self.keys[self.places.trial][:, None]


def masks(noise: Sequence[Noise], counts: Sequence[int], probabilities: Sequence[float], dtype: torch.dtype) -> Tensor:
    """So many values of each source, one after the other.

    In the values' own type, because a product with booleans takes a CPU five times as long.
    """
    if len(set(probabilities)) == 1:
        drawn = [source.draw(count) for source, count in zip(noise, counts, strict=True)]
        return _mask(torch.cat(drawn), probabilities[0], dtype)
    return torch.cat([
        _mask(source.draw(count), one, dtype) if one else torch.ones(count, dtype=dtype, device=source.device)
        for source, count, one in zip(noise, counts, probabilities, strict=True)
    ])  # fmt: skip


def levels_of(probability: float) -> int:
    """Of 65,536 draws, how many are dropped: never all, since what is kept is divided by its share."""
    return min(round(probability * _LEVELS), _LEVELS - 1)


def splitmix64(state: int) -> int:
    """The word that follows a state."""
    word = (state + _GOLDEN) % 2**64
    word = (word ^ (word >> 30)) * _FIRST % 2**64
    word = (word ^ (word >> 27)) * _SECOND % 2**64
    return word ^ (word >> 31)


def _start(place: int) -> int:
    return _signed(place * _OF_PLACE * _GOLDEN)


def _values(states: Tensor, words: int) -> Tensor:
    """So many words after each state (n, 1), as (n, 4 x words) int16. States are int64 and wrap around."""
    word = states + torch.arange(1, words + 1, device=states.device) * _signed(_GOLDEN)
    for shift, factor in ((30, _FIRST), (27, _SECOND)):
        word ^= (word >> shift) & (2 ** (64 - shift) - 1)  # the shift itself would draw in the sign
        word *= _signed(factor)
    word ^= (word >> 31) & (2**33 - 1)
    return word.view(torch.int16)


def _kept(drawn: Tensor, rates: float | Rates, trial: Tensor, dtype: torch.dtype) -> Tensor:
    """`drawn` (n, m) with the rate of all, or of the trial of each row."""
    if not isinstance(rates, Rates):
        return _mask(drawn, rates, dtype)
    levels = rates.levels[trial]
    return torch.ge(drawn, levels - _LEVELS // 2).to(dtype) * (_LEVELS / (_LEVELS - levels)).to(dtype)


def _mask(drawn: Tensor, probability: float, dtype: torch.dtype) -> Tensor:
    dropped = levels_of(probability)
    kept = torch.empty(drawn.shape, dtype=dtype, device=drawn.device)
    torch.ge(drawn, dropped - _LEVELS // 2, out=kept)
    return kept.mul_(_LEVELS / (_LEVELS - dropped))


def _signed(word: int) -> int:
    """The number that 64 bits are in two's complement."""
    word %= 2**64
    return word - 2**64 if word >= 2**63 else word
