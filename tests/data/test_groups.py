"""Cuts that keep groups together."""

from __future__ import annotations

from collections import Counter

import pytest

from sweep.config.schema import DatasetConfig
from sweep.data.groups import cut_by_group, divided
from sweep.data.splits import load_splits


def load(folder, **config):
    return load_splits(DatasetConfig(path=str(folder), **config))


def authored(rows_of, authors, count=60, **extra):
    """Rows of several authors, by turns of three rows."""
    return [{**row, "author": f"author {i // 3 % authors}", **extra} for i, row in enumerate(rows_of(count))]


def authors_of(rows, splits_rows):
    known = {row["text"]: row["author"] for row in rows}
    return {known[text] for text in splits_rows.texts}


@pytest.fixture
def cut():
    def cut(groups, labels, ratio=0.2, seed=0):
        indices = tuple(range(len(groups)))
        kept, off = cut_by_group(
            indices,
            ratio,
            seed=seed,
            stream="validation",
            groups=dict(enumerate(groups)),
            labels=dict(enumerate(labels)),
        )
        assert sorted(kept + off) == list(indices)
        assert not {groups[index] for index in kept} & {groups[index] for index in off}
        return kept, off

    return cut


def test_groups_are_whole_and_labels_keep_their_shares(cut):
    groups = [f"g{i % 40}" for i in range(400)]
    labels = [("rare",) if i % 40 < 10 else ("common",) for i in range(400)]
    for seed in range(5):
        _, off = cut(groups, labels, seed=seed)
        assert Counter(labels[index] for index in off) == {("rare",): 20, ("common",): 60}


def test_another_seed_holds_out_other_groups(cut):
    groups, labels = [f"g{i % 20}" for i in range(100)], [()] * 100
    assert cut(groups, labels, seed=0) == cut(groups, labels, seed=0) != cut(groups, labels, seed=1)


def test_of_two_groups_the_smaller_one_is_held_out(cut):
    assert cut("aaab", [()] * 4)[1] == (3,)
    assert len(cut("aabb", [()] * 4)[1]) == 2


def test_one_group_cannot_be_cut(cut):
    with pytest.raises(ValueError, match="needs two groups, but 4 rows have 1"):
        cut("aaaa", [()] * 4)


def test_parts_of_one_size_are_balanced_by_label_and_in_number():
    labels = dict(enumerate([(name,) for name in "aaaaabbbbbbbcc"]))
    parts = divided(tuple(labels), [1 / 3] * 3, seed=0, stream="s", groups={i: i for i in labels}, labels=labels)
    assert sorted(map(len, parts)) == [4, 5, 5]
    assert all(1 <= Counter(labels[i] for i in part)[("a",)] <= 2 for part in parts)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_no_author_is_on_two_sides(folder, write, rows_of, ending):
    rows = authored(rows_of, 12)
    write(f"train.{ending}", rows)
    splits = load(folder, group_column="author", test_split=None, validation_ratio=0.4, test_ratio=0.5)
    sides = [authors_of(rows, one) for one in (splits.train, splits.validation, splits.test.open())]
    assert [len(side) for side in sides] == [7, 2, 3] and len(set.union(*sides)) == 12
    assert dict(splits.state.division.groups) == {"train": 7, "validation": 2, "test": 3}
    assert set(splits.state.division.shared.values()) == {0} and splits.warnings == ()


def test_authors_of_pairs_and_of_rows_with_several_labels_are_kept_together(folder, write, rows_of):
    rows = authored(rows_of, 10, second="t", label="a|b")
    write("train.csv", rows)
    config = {"text_pair_column": "second", "task": "multi_label", "label_separator": "|", "test_split": None}
    splits = load(folder, group_column="author", **config)
    assert not authors_of(rows, splits.train) & authors_of(rows, splits.validation)
    assert len(splits.validation) == 12


def test_a_stored_split_that_shares_groups_with_train_is_named(folder, write, rows_of):
    write("train.csv", authored(rows_of, 10))
    write("test.csv", [{**row, "author": f"author {8 + i}"} for i, row in enumerate(rows_of(6, start=100))])
    splits = load(folder, group_column="author", validation_ratio=0.3)
    shared = splits.state.division.shared["test"]
    assert 0 < shared <= 2 and f"{shared} of 6 groups of author in test are in train too" in splits.warnings[-1]


def test_a_test_split_may_lack_the_column_and_train_may_not(folder, write, rows_of, only_fault):
    write("train.csv", authored(rows_of, 10))
    write("test.csv", rows_of(6, start=100))
    assert load(folder, group_column="author").state.division.shared == {"validation": 0}
    fault = only_fault(folder, group_column="autor")
    assert fault.path == "dataset.group_column" and "did you mean author" in fault.message


def test_rows_without_a_group_are_named(folder, write, rows_of, only_fault):
    write("train.csv", [{**row, "author": "" if i in (1, 4) else "x"} for i, row in enumerate(rows_of(20))])
    fault = only_fault(folder, group_column="author", test_split=None)
    assert "is author, which holds no group in rows 2, 5 of train" in fault.message


def test_one_author_alone_cannot_be_held_out(folder, write, rows_of, only_fault):
    write("train.csv", authored(rows_of, 1))
    fault = only_fault(folder, group_column="author", test_split=None)
    assert "by which no rows can be held out: a cut needs two groups, but 60 rows have 1" in fault.message


def test_a_large_group_makes_a_cut_of_another_size_and_a_note(folder, write, rows_of):
    rows = [{**row, "author": "ab"[i % 2]} for i, row in enumerate(rows_of(40))]
    write("train.csv", rows)
    splits = load(folder, group_column="author", test_split=None)
    assert len(splits.validation) == 20
    assert "20 of 40 rows are held out for validation, not 8 (dataset.validation_ratio is 0.2)" in splits.warnings[0]
