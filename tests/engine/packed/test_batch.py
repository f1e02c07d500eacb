"""Rows that lie end to end, and the groups that attention takes them in."""

import numpy as np
import torch

from sweep.engine.packed.batch import PackedBatch, Row, chunks

CPU = torch.device("cpu")


def row(*tokens: int) -> Row:
    return Row(np.array(tokens))


def packed(*trials: list[Row]) -> PackedBatch:
    return PackedBatch(trials, CPU)


def test_positions_start_anew_with_each_row() -> None:
    batch = packed([row(5, 6, 7), row(8)], [row(9, 9)])
    assert batch.input_ids.tolist() == [[5, 6, 7, 8, 9, 9]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 0, 0, 1]]
    assert (batch.first.tolist(), batch.last.tolist()) == ([0, 3, 4], [2, 3, 5])


def test_tokens_are_of_the_trial_whose_row_they_are() -> None:
    batch = packed([row(5, 6, 7), row(8)], [row(9, 9)])
    assert batch.trial.tolist() == [0, 0, 0, 0, 1, 1]
    assert batch.spans == [(0, 4), (4, 6)]
    assert batch.offsets.tolist() == [4, 6]


def test_a_group_pads_with_the_row_itself() -> None:
    """Padding with a neighbour's token would let its NaN through."""
    (group,) = packed([row(1, 2, 3)], [row(4)]).groups
    assert group.index.tolist() == [[0, 1, 2, 0, 0, 0, 0, 0], [3, 3, 3, 3, 3, 3, 3, 3]]
    assert group.real is not None and group.real.sum(dim=1).tolist() == [3, 1]
    assert group.counts == (1, 1)


def test_the_group_of_a_row_does_not_depend_on_its_neighbours() -> None:
    short, long = row(*range(5)), row(*range(20))
    alone, beside = packed([short]), packed([long, long], [short])
    assert [group.length for group in alone.groups] == [8]
    assert [(group.length, group.rows) for group in beside.groups] == [(8, 1), (24, 2)]


def test_vectors_gathered_by_head_return_to_their_tokens() -> None:
    batch = packed([row(1, 2, 3), row(*range(11))], [row(4, 5)])
    heads = 3
    values = torch.randn(batch.tokens * heads, 4)
    by_head = batch.by_head(heads)
    gathered = torch.cat([values[index] for index in by_head.index])
    assert torch.equal(gathered[by_head.back], values)


def test_padded_tokens_come_back() -> None:
    batch = packed([row(1, 2, 3)], [row(4)], [row(5, 6)])
    values = torch.randn(batch.tokens, 2)
    index, real, back = batch.padded
    assert real.sum(dim=1).tolist() == [3, 1, 2]
    assert torch.equal(values[index].flatten(0, 1)[back], values)


def test_chunks_hold_rows_and_tokens_in_bounds() -> None:
    rows = [row(*range(size)) for size in (9, 4, 4, 3, 2, 1)]
    found = [rows[part] for part in chunks(rows, at_most=3, tokens=8)]
    assert [[len(one) for one in part] for part in found] == [[9], [4, 4], [3, 2, 1]]
