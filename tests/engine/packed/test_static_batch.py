"""Packs filled up to a shape: the same numbers as on a line of their own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sweep.engine.packed.batch import PackedBatch, Row
from sweep.engine.packed.noise import Counted, Noise
from sweep.engine.packed.static_batch import Framed, Shape, StaticPackedBatch, rounded

CPU = torch.device("cpu")
LENGTHS = ([3, 9], [1], [], [6, 2, 4])


def row(length: int, start: int = 0) -> Row:
    tokens = np.arange(start, start + length)
    return Row(tokens, tokens % 2)


@pytest.fixture
def layout() -> PackedBatch:
    rows = [[row(length, 10 * number) for length in one] for number, one in enumerate(LENGTHS)]
    return PackedBatch(rows, CPU, [Noise(number, 5, CPU) for number in range(len(LENGTHS))])


@pytest.fixture
def framed(layout: PackedBatch) -> Framed:
    return framed_of(layout)


def framed_of(layout: PackedBatch) -> Framed:
    frame = StaticPackedBatch(Shape.of(layout), CPU)
    frame.fill(layout)
    return frame.places()


def test_a_shape_has_room_for_a_token_and_a_row_of_no_trial(layout: PackedBatch) -> None:
    shape = Shape.of(layout)
    assert (shape.trials, shape.tokens, shape.rows, shape.length, shape.typed) == (4, 32, 8, 32, True)
    full = PackedBatch([[row(4)] * 8], CPU)
    assert (Shape.of(full).tokens, Shape.of(full).rows) == (64, 16)


@pytest.mark.parametrize(
    ("lengths", "wasteful"),
    [([24] * 128, False), ([10] * 127 + [64], False), ([60] * 127 + [512], True), ([480] * 4, False), ([20] * 64 + [480], True)],
)  # fmt: skip
def test_one_long_row_among_short_ones_is_not_worth_a_shape(lengths: list[int], wasteful: bool) -> None:
    assert Shape.of(PackedBatch([[row(length) for length in lengths]], CPU)).wasteful is wasteful


@pytest.mark.parametrize(
    ("count", "wanted"), [(1, 1), (7, 8), (8, 8), (9, 16), (1024, 1024), (1025, 2048), (2305, 3072)]
)
def test_token_counts_are_rounded_up_to_few(count: int, wanted: int) -> None:
    assert rounded(count) == wanted


def test_real_tokens_lie_where_they_did(layout: PackedBatch, framed: Framed) -> None:
    real = layout.tokens
    for name in ("trial", "within"):
        assert torch.equal(getattr(framed, name)[:real], getattr(layout, name)), name
    for name in ("input_ids", "token_type_ids", "position_ids"):
        assert torch.equal(getattr(framed, name)[:, :real], getattr(layout, name)), name
    for name in ("first", "last"):
        assert torch.equal(getattr(framed, name)[: len(layout.lengths)], getattr(layout, name)), name
    assert framed.offsets.tolist() == [12, 13, 13, 32]
    assert framed.keys.tolist() == [source.key for source in layout.noise]


def test_other_tokens_are_read_by_no_row_of_a_trial(layout: PackedBatch, framed: Framed) -> None:
    (group,) = framed.groups
    rows = len(layout.lengths)
    assert group.index[:rows].max() < layout.tokens
    assert (group.index[rows:] == framed.tokens - 1).all()
    assert group.real is not None and not group.real[rows:].any()


def test_a_second_pack_leaves_nothing_of_the_first(layout: PackedBatch) -> None:
    other = PackedBatch([[row(3), row(9)], [row(1)], [row(2)], [row(6, 7)]], CPU, layout.noise)
    frame = StaticPackedBatch(Shape.of(layout), CPU)
    frame.fill(layout)
    frame.fill(other)
    alone = StaticPackedBatch(Shape.of(layout), CPU)
    alone.fill(other)
    assert torch.equal(frame.places().ids, alone.places().ids)
    assert torch.equal(frame.places().lengths, alone.places().lengths)


def test_sums_and_means(layout: PackedBatch, framed: Framed) -> None:
    values = torch.randn(framed.tokens, 5, dtype=torch.float64)
    values[layout.tokens :] = 0.0
    torch.testing.assert_close(framed.summed(values)[:2], layout.summed(values[: layout.tokens])[:2])
    torch.testing.assert_close(framed.mean(values)[: len(layout.lengths)], layout.mean(values[: layout.tokens]))


def test_masks_are_those_of_the_line(layout: PackedBatch, framed: Framed) -> None:
    """A trial's masks depend neither on the shape nor on the groups of its rows."""
    mine, theirs = Counted(layout.keys, layout), framed.draws
    for width in (4, 7):
        wanted = mine.tokens(3, width, 0.5, torch.float32)
        assert torch.equal(theirs.tokens(3, width, 0.5, torch.float32)[: layout.tokens], wanted)
    heads, (wide,) = 2, framed.groups
    found = theirs.scores(3, wide, heads, 0.5, torch.float32).view(wide.rows, heads, wide.length, wide.length)
    number = 0
    for group in layout.groups:
        wanted = mine.scores(3, group, heads, 0.5, torch.float32).view(group.rows, heads, group.length, group.length)
        for place in range(group.rows):
            own = int(torch.nonzero(layout.first == group.index[place, 0])[0])
            cut = min(group.length, wide.length)
            assert torch.equal(found[own, :, :cut, :cut], wanted[place, :, :cut, :cut])
            number += 1
    assert number == len(layout.lengths)


@pytest.mark.parametrize("token", [None, 2, 0, 33])
def test_the_last_token_but_one(layout: PackedBatch, framed: Framed, token: int | None) -> None:
    """Of rows 0 1 2, 0 … 8, 10, 30 … 35, 30 31 and 30 … 33: by hand, where the last other than the token lies."""
    ends = {
        None: [2, 11, 12, 18, 20, 24],
        2: [1, 11, 12, 18, 20, 24],
        0: [2, 11, 12, 18, 20, 24],
        33: [2, 11, 12, 18, 20, 23],
    }
    assert layout.last_but(token).tolist() == ends[token]
    assert framed.last_but(token)[: len(ends[token])].tolist() == ends[token]


def test_a_row_of_that_token_alone_is_read_at_its_first() -> None:
    alone = PackedBatch([[Row(np.array([7, 7, 7])), Row(np.array([1, 7]))]], CPU, [Noise(0, 0, CPU)])
    assert alone.last_but(7).tolist() == framed_of(alone).last_but(7)[:2].tolist() == [0, 3]
