from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sweep.config.schema import DatasetConfig
from sweep.data.labels import LabelSpace
from sweep.data.splits import Rows, Splits, baseline, load_splits

HEAVY = ("torch", "transformers", "datasets", "pandas", "sklearn", "hydra")


def load(path: Path, **config: Any) -> Splits:
    return load_splits(DatasetConfig(path=str(path), **config))


def numbers(rows: Rows) -> list[int]:
    return [int(text.split()[1]) for text in rows.texts]


def test_validation_is_cut_off_train(toy):
    splits = load(toy)
    assert sorted(numbers(splits.train) + numbers(splits.validation)) == list(range(20))
    assert dict(splits.state.rows) == {"train": 16, "validation": 4, "test": 6}
    assert splits.labels == LabelSpace("single_label", ("label 0", "label 1"))
    assert all(label == number % 2 for number, label in zip(numbers(splits.train), splits.train.labels, strict=True))


def test_the_seed_decides_the_cut(toy):
    assert load(toy) == load(toy)
    assert load(toy).validation != load(toy, seed=1).validation


def test_a_named_validation_split_leaves_train_whole(toy, write, rows_of):
    write("dev.csv", rows_of(5, start=50))
    splits = load(toy, validation_split="dev")
    assert numbers(splits.train) == list(range(20)) and numbers(splits.validation) == list(range(50, 55))


def test_a_stratified_cut(toy):
    assert sorted(load(toy, stratify=True).validation.labels) == [0, 0, 1, 1]


def test_half_of_the_validation_rows_can_be_the_test_split(toy):
    splits, whole = load(toy, test_split=None, test_ratio=0.5, test_every_nth=2), load(toy, test_split=None)
    assert splits.test is not None
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (16, 2, 1)
    assert splits.train == whole.train
    assert {*splits.validation.texts, *splits.test.open().texts} < set(whole.validation.texts)
    assert not set(splits.validation.texts) & set(splits.test.open().texts)


def test_of_several_names_the_first_split_that_is_there(toy, write, rows_of, faults):
    write("more.csv", rows_of(4, start=200))
    assert len(load(toy, train_split=("absent", "train+more", "train"), validation_ratio=0.25).train) == 18
    assert [fault.message.split(",")[0] for fault in faults(toy, train_split=("absent", "nowhere"))] == [
        "is absent",
        "is nowhere",
    ]


def test_a_later_name_is_no_way_to_train_on_the_test_split(toy, only_fault):
    assert (
        only_fault(toy, train_split=("absent", "test")).message == "is test, but test is in dataset.train_split already"
    )


def test_a_cut_that_cannot_be_stratified_names_its_ratio(toy, only_fault):
    fault = only_fault(toy, stratify=True, test_split=None, test_ratio=0.9)
    assert "dataset.test_ratio is 0.9" in fault.message


def test_rows_are_chosen_in_the_stated_order(toy):
    splits = load(toy, train_every_nth=2, eval_every_nth=2, test_every_nth=3, label_names=("label 0", "label 1"))
    assert sorted(numbers(splits.train) + numbers(splits.validation))[-1] <= 18
    assert all(number % 2 == 0 for number in numbers(splits.train))
    assert (len(splits.train), len(splits.validation), len(splits.test or ())) == (8, 1, 2)


def test_samples_are_taken_after_the_cut(toy):
    whole, some = load(toy), load(toy, max_train_samples=0.5, max_eval_samples=3, max_test_samples=100)
    assert (len(some.train), len(some.validation), len(some.test or ())) == (8, 3, 6)
    assert set(some.train.texts) < set(whole.train.texts) and set(some.validation.texts) < set(whole.validation.texts)


def test_a_sample_keeps_the_label_space(folder, write, rows_of):
    write("train.csv", rows_of(40, labels=10))
    splits = load(folder, test_split=None, max_train_samples=3)
    assert len(splits.labels) == 10 and splits.test is None
    assert any("labels have no train row" in warning for warning in splits.warnings)


def test_rows_without_a_label_can_be_dropped(folder, write, rows_of):
    write("train.jsonl", [*rows_of(9), {"text": "which?", "label": None}])
    splits = load(folder, test_split=None, unlabelled="drop")
    assert len(splits.train) + len(splits.validation) == 9
    assert splits.warnings == ("1 of 10 train rows have no label and are left out",)


def test_pairs_stay_together(folder, write):
    write("train.csv", [{"a": f"{i} first", "b": f"{i} second", "label": i % 2} for i in range(10)])
    splits = load(folder, text_column="a", text_pair_column="b", test_split=None)
    assert all(first.split()[0] == (second or "").split()[0] for first, second in splits.train.inputs())
    assert [*splits.merged.train.inputs()] == [*splits.train.inputs(), *splits.validation.inputs()]


def test_test_rows_stay_locked(toy):
    test = load(toy).test
    assert test is not None and len(test) == 6
    assert "text 100" not in repr(test) and not hasattr(test, "texts")
    assert numbers(test.open()) == list(range(100, 106))


def test_repeated_texts_are_warned_of(toy, write, rows_of):
    write("test.csv", [*rows_of(3, start=200), *rows_of(20)[:10]])
    splits = load(toy)
    count = len({f"text {i}" for i in range(10)} & set(splits.train.texts))
    assert splits.warnings == (
        f"{count} of 13 test rows have the exact text of a train row, {10 - count} of 13 test rows that of a validation row",
        "dataset.duplicates=drop takes rows out of train whose text is in validation or test too",
    )


def test_the_fingerprint_covers_texts_labels_and_order(toy, write, rows_of):
    rows = rows_of(20)
    seen = {load(toy).state.fingerprint, load(toy, seed=1).state.fingerprint}
    for changed in (
        [{**rows[0], "text": "another"}, *rows[1:]],
        [{**rows[0], "label": "label 1"}, *rows[1:]],
        rows[::-1],
    ):
        write("train.csv", changed)
        seen.add(load(toy).state.fingerprint)
    assert len(seen) == 5
    write("train.csv", rows)
    assert load(toy).state.fingerprint in seen


def test_the_fingerprint_is_of_the_rows_not_of_the_files(toy, write, rows_of):
    before = load(toy).state.fingerprint
    write("train.jsonl", rows_of(20))
    (toy / "train.csv").unlink()
    assert load(toy).state.fingerprint == before


def test_all_faults_come_at_once(toy, write, faults):
    write("dev.jsonl", [{"text": "a", "label": "label 7"}, {"text": "", "label": "label 1"}])
    found = faults(toy, validation_split="dev", test_split="tset", text_pair_column="b")
    by_key = {fault.path: fault.message for fault in found}
    assert len(by_key) == len(found) == 4
    assert "tset" in by_key["dataset.test_split"]
    assert "row 2 of dev" in by_key["dataset.text_column"]
    assert "b, but there is no such column in train and dev" in by_key["dataset.text_pair_column"]
    assert "unknown label: 'label 7' (row 1 of dev)" in by_key["dataset.label_column"]


def test_an_empty_split(toy, only_fault):
    (toy / "test.csv").write_text("text,label\n")
    assert only_fault(toy).path == "dataset.test_split"
    (toy / "test.csv").unlink()
    (toy / "test.jsonl").write_text("")
    assert "has no rows" in only_fault(toy).message


def test_a_cut_that_leaves_nothing(folder, write, rows_of, only_fault):
    write("train.csv", rows_of(2))
    assert len(load(folder, test_split=None).train) == 1
    fault = only_fault(folder, test_split=None, validation_ratio=0.9)
    assert (fault.path, fault.message) == ("dataset.validation_ratio", "is 0.9, which leaves no train rows")


def test_no_row_with_a_label(folder, write, only_fault):
    write("train.csv", [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}])
    write("test.csv", [{"text": "a", "label": ""}])
    assert only_fault(folder, unlabelled="drop").path == "dataset.unlabelled"


def test_one_split_has_one_role(toy, only_fault):
    assert "in dataset.train_split already" in only_fault(toy, test_split="train").message
    assert only_fault(toy, train_split="train+test").path == "dataset.test_split"


@pytest.mark.parametrize("config", [{"seed": 0, "train_every_nth": 19}])
def test_labels_that_cannot_be_stratified(toy, only_fault, config):
    assert only_fault(toy, stratify=True, **config).path == "dataset.stratify"


def test_several_labels_cannot_be_stratified(folder, write, only_fault):
    write("train.jsonl", [{"text": f"t{i}", "label": ["a", "b"][: i % 3]} for i in range(10)])
    assert only_fault(folder, task="multi_label", test_split=None, stratify=True).path == "dataset.stratify"
    assert load(folder, task="multi_label", test_split=None).train.labels[0] in ((0, 0), (1, 0), (1, 1))


def test_the_zero_rule_of_single_labels():
    rows = Rows(("a",) * 5, None, (2, 1, 1, 2, 0))
    assert baseline(rows, Rows(("b",) * 3, None, (0, 0, 0)), LabelSpace("single_label", ("x", "y", "z"))) == (
        1,
        1,
        1,
    )


def test_the_zero_rule_of_several_labels():
    rows = Rows(("a",) * 4, None, ((1, 1, 0), (1, 1, 0), (1, 0, 0), (0, 0, 1)))
    found = baseline(rows, Rows(("b",), None, ((0, 0, 0),)), LabelSpace("multi_label", ("x", "y", "z")))
    assert found == ((1, 0, 0),)


def test_local_rows_are_read_without_heavy_imports(toy):
    code = f"""
import sys
from sweep.config.schema import DatasetConfig
from sweep.data.splits import load_splits
load_splits(DatasetConfig(path={str(toy)!r}))
print(*[name for name in {HEAVY!r} if name in sys.modules])
"""
    paths = [entry for entry in sys.path if entry]
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(paths)},
        check=True,
    )
    assert done.stdout.strip() == ""
