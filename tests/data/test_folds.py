"""The folds of the train rows."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

import pytest

from sweep.config.schema import DatasetConfig
from sweep.data.splits import load_splits


def load(folder, **config):
    return load_splits(DatasetConfig(path=str(folder), **config))


def texts(rows):
    return set(rows.texts)


def test_each_row_is_scored_once_and_labels_keep_their_shares(folder, write, rows_of):
    write("train.csv", rows_of(43))
    splits = load(folder, folds=5, test_split=None)
    scored = [text for fold in splits.folds for text in fold.validation.texts]
    assert len(scored) == len(set(scored)) == 43 and texts(splits.whole) == set(scored) == texts(splits.merged.train)
    for fold in splits.folds:
        assert texts(fold.train) | texts(fold.validation) == set(scored) and not texts(fold.train) & texts(
            fold.validation
        )
        assert {4, 5} >= set(Counter(fold.validation.labels).values())
    assert [len(fold.train) for fold in splits.folds] == [34, 34, 34, 35, 35]
    assert splits.train == splits.folds[0].train == splits.fold(1).train
    assert splits.state.division.folds == ((34, 9), (34, 9), (34, 9), (35, 8), (35, 8))


def test_one_fold_is_the_split_without_folds(toy):
    assert DatasetConfig(folds=1).folds is None
    assert load(toy, folds=1) == load(toy)
    assert load(toy, folds=2).state.fingerprint != load(toy, folds=4).state.fingerprint


def test_no_group_is_on_both_sides_of_a_fold(folder, write, rows_of):
    rows = [{**row, "author": f"author {i // 4}"} for i, row in enumerate(rows_of(48))]
    write("train.csv", rows)
    known = {row["text"]: row["author"] for row in rows}
    for fold in load(folder, folds=4, group_column="author", test_split=None).folds:
        train, held_out = ({known[text] for text in one.texts} for one in (fold.train, fold.validation))
        assert not train & held_out and len(held_out) == 3


def test_by_time_each_fold_is_scored_on_rows_after_those_it_trains_on(folder, write, rows_of):
    days = [(date(2024, 1, 1) + timedelta(days=i * 11 % 40)).isoformat() for i in range(40)]
    rows = [{**row, "day": day} for row, day in zip(rows_of(40), days, strict=True)]
    write("train.csv", rows)
    known = {row["text"]: row["day"] for row in rows}
    splits = load(folder, folds=3, time_column="day", test_split=None)
    assert [(len(fold.train), len(fold.validation)) for fold in splits.folds] == [(10, 10), (20, 10), (30, 10)]
    for fold in splits.folds:
        assert max(known[text] for text in fold.train.texts) < min(known[text] for text in fold.validation.texts)
    assert len(splits.merged.train) == 40 and splits.state.division.ranges == {"train": ("2024-01-01", "2024-02-09")}


def test_limits_apply_to_train_as_a_whole_and_to_the_validation_rows_of_each_fold(folder, write, rows_of):
    write("train.csv", rows_of(60))
    splits = load(folder, folds=3, test_split=None, max_train_samples=30, max_eval_samples=4, train_every_nth=1)
    assert [(len(fold.train), len(fold.validation)) for fold in splits.folds] == [(20, 4)] * 3
    assert len(splits.whole) == 30
    assert len(load(folder, folds=3, test_split=None, train_every_nth=2, eval_every_nth=2).validation) == 5


def test_duplicates_are_dropped_before_folds_are_made(folder, write, rows_of):
    write("train.csv", [*rows_of(20), *rows_of(6)])
    write("test.csv", rows_of(2))
    splits = load(folder, folds=2, duplicates="drop")
    assert len(splits.whole) == len(texts(splits.whole)) == 18 and not texts(splits.whole) & texts(splits.test.open())


@pytest.mark.parametrize(
    ("config", "path", "rule"),
    [
        ({"folds": 21}, "dataset.folds", "is 21, but there are 20 train rows"),
        ({"folds": 3, "group_column": "author"}, "dataset.folds", "author has 2 groups; use at most 2 folds"),
        ({"folds": 5, "time_column": "day"}, "dataset.folds", "need 6 blocks of rows: a cut needs 6 times, but"),
        ({"folds": 3, "test_ratio": 0.96}, "dataset.test_ratio", "leaves no train rows"),
        ({"folds": 11, "stratify": True}, "dataset.stratify", "fewer rows than folds: label 0 (10), label 1 (10)"),
    ],
)
def test_folds_that_cannot_be_made_are_refused(folder, write, rows_of, only_fault, config, path, rule):
    write("train.csv", [{**row, "author": "ab"[i % 2], "day": str(i % 4)} for i, row in enumerate(rows_of(20))])
    fault = only_fault(folder, test_split=None, **config)
    assert fault.path == path and rule in fault.message


def test_a_label_with_fewer_rows_than_folds_has_a_note(folder, write, rows_of):
    write("train.csv", [*rows_of(20), {"text": "x", "label": "rare"}])
    assert "scored in some of them alone: rare (1)" in load(folder, folds=4, test_split=None).warnings[0]


def test_a_label_that_the_first_fold_lacks_is_noted_as_such(folder, write, rows_of):
    rows = [
        {**row, "label": "new" if i >= 30 else "old", "day": f"2024-{1 + i // 28:02}-{1 + i % 28:02}"}
        for i, row in enumerate(rows_of(40))
    ]
    write("train.csv", rows)
    notes = load(folder, folds=3, time_column="day", test_split=None).state.notes
    assert "1 of 2 labels have no train row in some fold: new" in notes


def test_test_rows_are_cut_off_before_folds_are_made(folder, write, rows_of):
    days = [(date(2024, 1, 1) + timedelta(days=i)).isoformat() for i in range(40)]
    rows = [
        {**row, "day": day, "author": f"author {i // 4}"}
        for i, (row, day) in enumerate(zip(rows_of(40), days, strict=True))
    ]
    write("train.csv", rows)
    of = {name: {row["text"]: row[name] for row in rows} for name in ("day", "author")}
    for config in ({}, {"time_column": "day"}, {"group_column": "author"}):
        splits = load(folder, folds=3, test_split=None, test_ratio=0.2, **config)
        test, whole = texts(splits.test.open()), texts(splits.whole)
        assert len(test) == 8 and len(whole) == 32 and not test & whole
        assert splits.state.rows == {"train": 32, "validation": 24 if "time_column" in config else 32, "test": 8}
        for fold in splits.folds:
            assert not (texts(fold.train) | texts(fold.validation)) & test
        if "time_column" in config:
            assert max(of["day"][text] for text in whole) < min(of["day"][text] for text in test)
        if "group_column" in config:
            assert not {of["author"][text] for text in whole} & {of["author"][text] for text in test}


def test_the_state_counts_the_rows_of_all_folds(folder, write, rows_of):
    write("train.csv", [*rows_of(40), *rows_of(5)])
    write("test.csv", rows_of(2))
    splits = load(folder, folds=3, stratify="auto")
    state = splits.state
    assert state.rows == {"train": 45, "validation": 45, "test": 2}
    assert state.label_rows["train"] == state.label_rows["validation"] and sum(state.label_rows["train"]) == 45
    scored = [(number, text) for number, fold in enumerate(splits.folds, start=1) for text in fold.validation.texts]
    across = sum(text in splits.fold(number).train.texts for number, text in scored)
    counted = {(one.split, one.also_in): one.exact for one in state.duplicates}
    assert counted == {("train", "train"): 5, ("test", "train"): 2, ("validation", "train"): across}
