"""Batches filled up to a shape: the same numbers as without filling."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sweep.engine.packed.batch import PackedBatch, Row
from sweep.engine.packed.noise import Counted, Noise
from sweep.engine.packed.static_batch import Shape, StaticIndex, StaticPackedBatch, rounded

CPU = torch.device("cpu")
LENGTHS = ([3, 9], [1], [], [6, 2, 4])


def row(length: int, start: int = 0) -> Row:
    tokens = np.arange(start, start + length)
    return Row(tokens, tokens % 2)


@pytest.fixture
def batch() -> PackedBatch:
    rows = [[row(length, 10 * number) for length in one] for number, one in enumerate(LENGTHS)]
    return PackedBatch(rows, CPU, [Noise(number, 5, CPU) for number in range(len(LENGTHS))])


@pytest.fixture
def index(batch: PackedBatch) -> StaticIndex:
    return index_of(batch)


def index_of(batch: PackedBatch) -> StaticIndex:
    static = StaticPackedBatch(Shape.of(batch), CPU)
    static.fill(batch)
    return static.index()


def test_a_shape_holds_a_token_and_a_row_of_no_trial(batch: PackedBatch) -> None:
    shape = Shape.of(batch)
    assert (shape.trials, shape.tokens, shape.rows, shape.length, shape.typed) == (4, 32, 8, 32, True)
    full = PackedBatch([[row(4)] * 8], CPU)
    assert (Shape.of(full).tokens, Shape.of(full).rows) == (64, 16)


@pytest.mark.parametrize(
    ("lengths", "wasteful"),
    [([24] * 128, False), ([10] * 127 + [64], False), ([60] * 127 + [512], True), ([480] * 4, False), ([20] * 64 + [480], True)],
)  # fmt: skip
def test_one_long_row_beside_short_ones_is_not_worth_a_shape(lengths: list[int], wasteful: bool) -> None:
    assert Shape.of(PackedBatch([[row(length) for length in lengths]], CPU)).wasteful is wasteful


@pytest.mark.parametrize(
    ("count", "wanted"), [(1, 1), (7, 8), (8, 8), (9, 16), (1024, 1024), (1025, 2048), (2305, 3072)]
)
def test_token_counts_are_rounded_up_to_few(count: int, wanted: int) -> None:
    assert rounded(count) == wanted


def test_real_tokens_lie_where_they_did(batch: PackedBatch, index: StaticIndex) -> None:
    real = batch.tokens
    for name in ("trial", "within"):
        assert torch.equal(getattr(index, name)[:real], getattr(batch, name)), name
    for name in ("input_ids", "token_type_ids", "position_ids"):
        assert torch.equal(getattr(index, name)[:, :real], getattr(batch, name)), name
    for name in ("first", "last"):
        assert torch.equal(getattr(index, name)[: len(batch.lengths)], getattr(batch, name)), name
    assert index.offsets.tolist() == [12, 13, 13, 32]
    assert index.keys.tolist() == [source.key for source in batch.noise]


def test_other_tokens_are_read_by_no_row_of_a_trial(batch: PackedBatch, index: StaticIndex) -> None:
    (group,) = index.groups
    rows = len(batch.lengths)
    assert group.index[:rows].max() < batch.tokens
    assert (group.index[rows:] == index.tokens - 1).all()
    assert group.real is not None and not group.real[rows:].any()


def test_a_second_batch_leaves_nothing_of_the_first(batch: PackedBatch) -> None:
    other = PackedBatch([[row(3), row(9)], [row(1)], [row(2)], [row(6, 7)]], CPU, batch.noise)
    static = StaticPackedBatch(Shape.of(batch), CPU)
    static.fill(batch)
    static.fill(other)
    alone = StaticPackedBatch(Shape.of(batch), CPU)
    alone.fill(other)
    assert torch.equal(static.index().ids, alone.index().ids)
    assert torch.equal(static.index().lengths, alone.index().lengths)


def test_sums_and_means(batch: PackedBatch, index: StaticIndex) -> None:
    values = torch.randn(index.tokens, 5, dtype=torch.float64)
    values[batch.tokens :] = 0.0
    torch.testing.assert_close(index.summed(values)[:2], batch.summed(values[: batch.tokens])[:2])
    torch.testing.assert_close(index.mean(values)[: len(batch.lengths)], batch.mean(values[: batch.tokens]))


def test_masks_are_those_of_the_batch(batch: PackedBatch, index: StaticIndex) -> None:
    """A trial's masks depend neither on the shape nor on the groups of its rows."""
    mine, theirs = Counted(batch.keys, batch), index.draws
    for width in (4, 7):
        wanted = mine.tokens(3, width, 0.5, torch.float32)
        assert torch.equal(theirs.tokens(3, width, 0.5, torch.float32)[: batch.tokens], wanted)
    heads, (wide,) = 2, index.groups
    found = theirs.scores(3, wide, heads, 0.5, torch.float32).view(wide.rows, heads, wide.length, wide.length)
    number = 0
    for group in batch.groups:
        wanted = mine.scores(3, group, heads, 0.5, torch.float32).view(group.rows, heads, group.length, group.length)
        for row_number in range(group.rows):
            own = int(torch.nonzero(batch.first == group.index[row_number, 0])[0])
            cut = min(group.length, wide.length)
            assert torch.equal(found[own, :, :cut, :cut], wanted[row_number, :, :cut, :cut])
            number += 1
    assert number == len(batch.lengths)


@pytest.mark.parametrize("token", [None, 2, 0, 33])
def test_the_last_token_but_one(batch: PackedBatch, index: StaticIndex, token: int | None) -> None:
    """The rows are 0 1 2, 0 … 8, 10, 30 … 35, 30 31 and 30 … 33. The expected positions of the
    last other token were found by hand."""
    ends = {
        None: [2, 11, 12, 18, 20, 24],
        2: [1, 11, 12, 18, 20, 24],
        0: [2, 11, 12, 18, 20, 24],
        33: [2, 11, 12, 18, 20, 23],
    }
    assert batch.last_but(token).tolist() == ends[token]
    assert index.last_but(token)[: len(ends[token])].tolist() == ends[token]


def test_a_row_of_that_token_alone_is_read_at_its_first() -> None:
    alone = PackedBatch([[Row(np.array([7, 7, 7])), Row(np.array([1, 7]))]], CPU, [Noise(0, 0, CPU)])
    assert alone.last_but(7).tolist() == index_of(alone).last_but(7)[:2].tolist() == [0, 3]
