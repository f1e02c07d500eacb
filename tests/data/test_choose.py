"""The rows that are left out, each of which is counted."""

from __future__ import annotations

from sweep.config.schema import DatasetConfig
from sweep.data.splits import load_splits


def load(folder, **config):
    return load_splits(DatasetConfig(path=str(folder), **config))


def test_rows_without_a_text_can_be_left_out(toy, write, rows_of, only_fault):
    write("train.csv", [*rows_of(20), {"text": " ", "label": "label 0"}, {"text": "", "label": ""}])
    write("test.csv", [*rows_of(6, start=100), {"text": "", "label": "label 1"}])
    message = only_fault(toy, unlabelled="drop", test_split=None).message
    assert "rows 21, 22 of train; dataset.blank=drop leaves such rows out" in message
    splits = load(toy, blank="drop", unlabelled="drop")
    assert splits.warnings == (
        "2 of 22 train rows have no text and are left out",
        "1 of 7 test rows have no text and are left out",
    )
    assert splits.state.dropped == {"train": {"blank": 2}, "test": {"blank": 1}}
    assert dict(splits.state.rows) == {"train": 16, "validation": 4, "test": 6}


def test_a_pair_needs_both_texts(folder, write):
    rows = [{"text": f"t {i}", "second": f"s {i}", "label": "ab"[i % 2]} for i in range(10)]
    write("train.csv", [*rows, {"text": "", "second": "s", "label": "a"}, {"text": "t", "second": " ", "label": "b"}])
    splits = load(folder, text_pair_column="second", test_split=None, blank="drop")
    assert splits.state.dropped == {"train": {"blank": 2}}


def test_rows_with_an_unknown_label_can_be_left_out(toy, write, rows_of, only_fault):
    write("test.csv", [*rows_of(6, start=100), {"text": "x", "label": "label 7"}, {"text": "y", "label": "Label 1"}])
    message = only_fault(toy).message
    assert (
        "'label 7' (row 7 of test), 'Label 1' (row 8 of test, 'label 1' but for upper case or white space)" in message
    )
    assert "dataset.unknown_labels=drop leaves such rows out" in message
    splits = load(toy, unknown_labels="drop")
    assert splits.state.dropped == {"test": {"unknown_labels": 2}} and len(splits.test or ()) == 6
    assert splits.warnings == (
        "2 of 8 test rows have a label that is not among those of the task ('Label 1', 'label 7') and are left out",
    )


def test_label_names_say_which_labels_are_known(folder, write, rows_of):
    write("train.csv", rows_of(30, labels=3))
    splits = load(folder, test_split=None, label_names=("label 2", "label 0"), unknown_labels="drop")
    assert splits.state.dropped == {"train": {"unknown_labels": 10}}
    assert splits.labels.names == ("label 2", "label 0") and len(splits.train) == 16


def test_a_cut_that_leaves_no_rows_is_reported_once(folder, write, only_fault):
    write("train.csv", [{"text": " ", "label": "a"}, {"text": "", "label": "b"}])
    fault = only_fault(folder, test_split=None, blank="drop")
    assert (fault.path, fault.message) == ("dataset.blank", "is drop, which leaves no train rows")


def test_labels_without_a_row_are_named_by_split(toy, write, rows_of):
    write("test.csv", rows_of(3, labels=1, start=100))
    splits = load(toy)
    assert splits.warnings == ("1 of 2 labels have no test row: label 1",)
    assert splits.state.label_rows == {"train": (8, 8), "validation": (2, 2), "test": (3, 0)}
    assert splits.state.notes == splits.warnings


def test_labels_that_look_alike_are_reported(folder, write, rows_of):
    write("train.csv", [*rows_of(20), {"text": "x", "label": "Label 1"}, {"text": "y", "label": " label 1"}])
    (note,) = [note for note in load(folder, test_split=None).warnings if "differ" in note]
    assert note == "labels differ in upper case or white space alone: ' label 1' and 'Label 1' and 'label 1'"


def test_settings_of_the_hub_have_no_effect_here(toy):
    assert load(toy, revision="v1").warnings == (
        "dataset.revision (v1) has no effect: dataset.path is a folder or file here, not on the hub",
    )
    assert load(toy / "train.csv", name="x", revision="v1", test_split=None).warnings == (
        "dataset.name (x) and dataset.revision (v1) have no effect: dataset.path is a folder or file here, not on the hub",
    )
