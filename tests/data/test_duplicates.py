from __future__ import annotations

from sweep.config.schema import DatasetConfig
from sweep.data.duplicates import brief, count_duplicates, sentences, without
from sweep.data.splits import load_splits
from sweep.provenance import Duplicates

ROWS = {
    "train": [("one", 0), ("two", 1), ("One ", 0), ("three", 0), ("three", 1)],
    "validation": [("two", 1), ("THREE", 1)],
    "test": [("new", 0), ("two", 0), ("new", 0), ("O\tne", 0), ("\u00a0ONE", 0)],
}


def counted(rows):
    inputs = {split: [(text, None) for text, _ in some] for split, some in rows.items()}
    return count_duplicates(inputs, {split: [label for _, label in some] for split, some in rows.items()})


def test_every_two_splits_and_each_within_itself():
    assert counted(ROWS) == [
        Duplicates("train", "train", exact=1, folded=2, relabelled=1),
        Duplicates("test", "test", exact=1, folded=1, relabelled=0),
        Duplicates("validation", "train", exact=1, folded=2, relabelled=1),
        Duplicates("test", "train", exact=1, folded=2, relabelled=1),
        Duplicates("test", "validation", exact=1, folded=1, relabelled=1),
    ]


def test_each_duplicate_is_reported():
    sizes = {split: len(rows) for split, rows in ROWS.items()}
    assert list(sentences(counted(ROWS), sizes)) == [
        "2 of 5 train rows have the text of an earlier row (1 exactly, the others but for upper case and white space), "
        "1 of them with another label",
        "1 of 5 test rows have the exact text of an earlier row",
        "2 of 2 validation rows have the text of a train row (1 exactly, the others but for upper case and white space), "
        "1 of them with another label",
        "2 of 5 test rows have the text of a train row (1 exactly, the others but for upper case and white space), "
        "1 of them with another label",
        "1 of 5 test rows have the exact text of a validation row, 1 of them with another label",
    ]
    assert list(sentences([Duplicates("test", "train", 0, 2, 0)], sizes)) == [
        "2 of 5 test rows have the text of a train row but for upper case and white space"
    ]


def test_a_plan_tells_all_of_them_in_two_sentences():
    sizes = {split: len(rows) for split, rows in ROWS.items()}
    assert list(brief(counted(ROWS), sizes)) == [
        "2 of 5 train rows have the text of an earlier row, 1 of 5 test rows that of an earlier row, "
        "upper case and white space aside (2 of them exactly); 1 of them with another label",
        "2 of 2 validation rows have the text of a train row, 2 of 5 test rows that of a train row, "
        "1 of 5 test rows that of a validation row, upper case and white space aside (3 of them exactly); "
        "3 of them with another label",
    ]
    one = Duplicates("test", "train", 0, 2, 0)
    assert list(brief([one], sizes)) == list(sentences([one], sizes))
    assert list(brief([], sizes)) == []


def test_of_a_pair_both_texts_count():
    inputs = {"train": [("a", "b"), ("ab", ""), ("a", "c")], "test": [("a", "B"), ("a", "d"), ("", "ab")]}
    labels = {split: [0] * len(rows) for split, rows in inputs.items()}
    assert count_duplicates(inputs, labels) == [Duplicates("test", "train", exact=0, folded=1, relabelled=0)]


def test_train_keeps_the_first_of_each_text_that_is_not_scored():
    train = [("a", None), ("b", None), ("A ", None), ("c", None)]
    assert without(train, [("B", None)]) == [0, 3]


def test_train_can_lose_its_duplicates(folder, write, rows_of):
    write("train.csv", [*rows_of(20), {"text": "TEXT  3", "label": "label 0"}, {"text": "text 3", "label": "label 1"}])
    write("validation.csv", [{"text": "Text 4", "label": "label 0"}, {"text": "fresh", "label": "label 1"}])
    write("test.csv", [{"text": "text 5", "label": "label 1"}, {"text": "text  4", "label": "label 0"}])
    config = DatasetConfig(path=str(folder), validation_split="validation")
    kept, dropped = load_splits(config), load_splits(config.model_copy(update={"duplicates": "drop"}))
    assert dropped.train.texts == tuple(f"text {i}" for i in range(20) if i not in (4, 5))
    assert (dropped.validation, dropped.test) == (kept.validation, kept.test)
    assert dropped.state.dropped == {"train": {"duplicates": 4}} and kept.state.dropped == {}
    assert dropped.warnings == (
        "4 of 22 train rows have the text of a validation or test row or of an earlier train row and are left out",
        "1 of 2 test rows have the text of a validation row but for upper case and white space",
    )
    assert kept.warnings[-1].startswith("dataset.duplicates=drop takes rows out of train")
    assert [(one.split, one.also_in, one.exact, one.folded) for one in kept.state.duplicates] == [
        ("train", "train", 1, 2),
        ("validation", "train", 0, 1),
        ("test", "train", 1, 2),
        ("test", "validation", 0, 1),
    ]


def test_a_sample_of_train_is_drawn_after_the_duplicates_are_gone(folder, write, rows_of):
    write("train.csv", rows_of(20) * 2)
    config = DatasetConfig(path=str(folder), test_split=None, duplicates="drop", max_train_samples=5)
    splits = load_splits(config)
    assert len(splits.train) == 5 and not splits.state.duplicates[1:]
    assert {(one.split, one.also_in) for one in splits.state.duplicates} <= {("validation", "validation")}


def test_train_may_not_lose_all(toy, write, rows_of, only_fault):
    write("test.csv", rows_of(20))
    fault = only_fault(toy, duplicates="drop")
    assert (fault.path, fault.message) == ("dataset.duplicates", "is drop, which leaves no train rows")
