"""Masks as a GPU draws them: each value is a function of its number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from sweep.engine.packed.batch import PackedBatch, Row
from sweep.engine.packed.noise import Counted, Noise, _values, splitmix64
from sweep.engine.packed.rates import Rates

CPU = torch.device("cpu")
GOLDEN = 0x9E3779B97F4A7C15
# The first words after 0 and 1234567, as published with Vigna's splitmix64.c and by those who
# ported it.
WORDS = {
    0: [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F],
    1234567: [6457827717110365317, 3203168211198807973, 9817491932198370423],
}


def pack(lengths: Sequence[Sequence[int]], noise: Sequence[Noise]) -> Counted:
    batch = PackedBatch([[Row(np.arange(length)) for length in one] for one in lengths], CPU, noise)
    return Counted(batch.keys, batch)


def noise(*seeds: int, step: int = 0) -> list[Noise]:
    return [Noise(seed, step, CPU) for seed in seeds]


@pytest.mark.parametrize("state", WORDS)
def test_the_words_are_those_of_splitmix64(state: int) -> None:
    assert [splitmix64(state + number * GOLDEN) for number in range(3)] == WORDS[state]
    found = _values(torch.tensor([[state]]), 3).view(torch.int64)[0].numpy().view(np.uint64)
    assert found.tolist() == WORDS[state]


@pytest.mark.parametrize("probability", [0.05, 0.1, 0.5])
def test_a_mask_drops_its_part_and_keeps_the_mean(probability: float) -> None:
    draws = pack([[400], [200, 200]], noise(0, 1))
    (group, *_), width = draws.pack_index.groups, 250
    for drawn in (
        draws.tokens(0, width, probability, torch.float32),
        draws.tokens(0, width, Rates.of([probability] * 2, CPU), torch.float32),
        draws.scores(0, group, 4, probability, torch.float32),
    ):
        assert (drawn == 0).float().mean().item() == pytest.approx(probability, abs=0.005)
        assert drawn.mean().item() == pytest.approx(1.0, abs=0.01)
        assert len(drawn.unique()) == 2


def test_rows_columns_heads_and_modules_have_their_own() -> None:
    draws = pack([[64, 64]], noise(0))
    one = draws.tokens(1, 64, 0.5, torch.float32)
    assert len(one.unique(dim=0)) == len(one)
    assert len(one.unique(dim=1)[0]) == 64
    assert not torch.equal(one, draws.tokens(2, 64, 0.5, torch.float32))
    (group,) = draws.pack_index.groups
    scores = draws.scores(1, group, 2, 0.5, torch.float32)
    assert len(scores.view(4 * 64, 64).unique(dim=0)) == 4 * 64


def test_a_seed_and_a_step_give_the_same_mask_and_others_another() -> None:
    def mask(source: list[Noise]) -> torch.Tensor:
        return pack([[50]], source).tokens(0, 32, 0.5, torch.float32)

    first = mask(noise(3, step=7))
    assert torch.equal(first, mask(noise(3, step=7)))
    assert not torch.equal(first, mask(noise(4, step=7)))
    assert not torch.equal(first, mask(noise(3, step=8)))


def test_neighbours_change_nothing() -> None:
    alone = pack([[5, 9]], noise(2))
    beside = pack([[30, 3], [5, 9]], noise(1, 2))
    wanted = alone.tokens(3, 10, 0.3, torch.float32)
    assert torch.equal(beside.tokens(3, 10, 0.3, torch.float32)[33:], wanted)
    mixed = beside.tokens(3, 10, Rates.of([0.0, 0.3], CPU), torch.float32)
    torch.testing.assert_close(mixed[33:], wanted)
    assert torch.equal(mixed[:33], torch.ones(33, 10))
