from __future__ import annotations

from collections import Counter

import pytest

from sweep.config.schema import DatasetConfig
from sweep.data.select import cut
from sweep.data.splits import load_splits
from sweep.data.stratify import stratified


def split(labels, ratio=0.2, seed=0):
    kept, off, one_sided = stratified(tuple(range(len(labels))), ratio, seed=seed, labels=labels, stream="validation")
    assert sorted(kept + off) == list(range(len(labels)))
    return kept, off, one_sided


def counts(labels, indices):
    return Counter(name for index in indices for name in labels[index])


def single(text):
    return [(letter,) for letter in text]


def test_where_every_label_allows_it_the_cut_is_the_stratified_one():
    labels = single("a" * 60 + "b" * 30 + "c" * 10)
    kept, off, one_sided = split(labels)
    assert (kept, off) == cut(tuple(range(100)), 0.2, seed=0, labels=[name for (name,) in labels])
    assert one_sided == ()


def test_a_label_with_one_row_stays_and_the_others_are_cut_in_proportion():
    labels = single("a" * 40 + "b" * 40 + "c")
    kept, off, one_sided = split(labels)
    assert len(off) == 17 and counts(labels, off) == {"a": 9, "b": 8} and counts(labels, kept)["c"] == 1
    assert one_sided == ("c (1)",)


def test_a_label_with_two_rows_is_on_both_sides():
    labels = single("a" * 90 + "bb" + "cc" + "d" * 6)
    kept, off, one_sided = split(labels, ratio=0.1)
    assert one_sided == () and counts(labels, off) == {"a": 7, "b": 1, "c": 1, "d": 1}
    assert set(counts(labels, kept)) == set("abcd")


@pytest.mark.parametrize("ratio", [0.05, 0.1, 0.5, 0.9])
def test_the_size_is_kept_where_there_are_fewer_rows_than_labels(ratio):
    labels = [(str(index % 30),) for index in range(60)]
    _, off, one_sided = split(labels, ratio)
    assert len(off) == {0.05: 3, 0.1: 6, 0.5: 30, 0.9: 54}[ratio]
    assert len(one_sided) == {0.05: 27, 0.1: 24, 0.5: 0, 0.9: 24}[ratio]


def test_rows_with_several_labels():
    labels = [
        tuple(name for name, step in (("x", 2), ("y", 3), ("z", 40)) if index % step == 0) for index in range(100)
    ]
    for seed in range(5):
        _, off, one_sided = split(labels, seed=seed)
        found = counts(labels, off)
        assert len(off) == 20 and one_sided == ()
        assert abs(found["x"] - 10) <= 1 and abs(found["y"] - 6.8) <= 1 and found["z"] in (1, 2)
    assert split(labels) == split(labels) != split(labels, seed=1)


def test_rows_without_a_label_are_cut_at_random():
    labels = [(), ("x",)] * 10
    assert len(split(labels)[1]) == 4
    assert split([]) == ((), (), ())


def test_auto_says_where_it_fell_short(folder, write, rows_of, only_fault):
    write("train.csv", [*rows_of(40), {"text": "odd", "label": "rare"}])
    splits = load_splits(DatasetConfig(path=str(folder), test_split=None))
    assert splits.warnings == (
        "dataset.stratify is auto: these labels (with their rows) are on one side alone of the cut for validation: rare (1)",
        "1 of 3 labels have no validation row: rare",
    )
    assert splits.state.label_rows == {"train": (15, 16, 1), "validation": (5, 4, 0)}
    fault = only_fault(folder, test_split=None, stratify=True)
    assert fault.path == "dataset.stratify" and "auto does it as far as it goes" in fault.message


def test_a_cut_at_random_is_still_there(folder, write, rows_of):
    write("train.csv", rows_of(20))
    config = DatasetConfig(path=str(folder), test_split=None, stratify=False)
    assert load_splits(config).train != load_splits(config.model_copy(update={"stratify": "auto"})).train
