"""Folders that the real `datasets` wrote."""

from __future__ import annotations

import datasets
import pytest

from sweep.config.schema import DatasetConfig
from sweep.data.splits import load_splits

FEATURES = datasets.Features(
    {
        "text": datasets.Value("string"),
        "label": datasets.ClassLabel(names=["no", "yes"]),
        "meta": {"label": datasets.ClassLabel(names=["neg", "pos"])},
    }
)
ROWS = datasets.Dataset.from_list(
    [{"text": f"t {i}", "label": i % 2, "meta": {"label": i % 2}} for i in range(10)], features=FEATURES
)


@pytest.fixture(autouse=True)
def quiet():
    datasets.disable_progress_bars()


def test_a_saved_dataset_dict(folder):
    datasets.DatasetDict(train=ROWS, test=ROWS.select([1, 2])).save_to_disk(str(folder))
    splits = load_splits(DatasetConfig(path=str(folder)))
    assert dict(splits.state.rows) == {"train": 8, "validation": 2, "test": 2}
    assert splits.labels.names == ("no", "yes") and splits.state.revision == ""
    assert load_splits(DatasetConfig(path=str(folder), label_column="meta.label")).labels.names == ("neg", "pos")


def test_a_saved_dataset_is_all_of_train(folder, only_fault):
    ROWS.save_to_disk(str(folder))
    assert load_splits(DatasetConfig(path=str(folder), test_split=None)).state.rows == {"train": 8, "validation": 2}
    assert only_fault(folder).path == "dataset.test_split"


def test_saved_datasets_side_by_side(folder):
    ROWS.save_to_disk(str(folder / "train"))
    ROWS.save_to_disk(str(folder / "held_out"))
    splits = load_splits(DatasetConfig(path=str(folder), validation_split="held_out", test_split=None))
    assert dict(splits.state.rows) == {"train": 10, "validation": 10}


def test_a_split_that_it_lacks(folder, only_fault):
    datasets.DatasetDict(train=ROWS).save_to_disk(str(folder))
    assert "has the splits train" in only_fault(folder).message


@pytest.mark.parametrize(("name", "content"), [("state.json", "{"), ("dataset_info.json", "[]"), ("state.json", "[]")])
def test_a_broken_one_is_named(folder, only_fault, name, content):
    datasets.DatasetDict(train=ROWS).save_to_disk(str(folder))
    (folder / "train" / name).write_text(content)
    fault = only_fault(folder, test_split=None)
    assert fault.path == "dataset.path" and "was written by save_to_disk, but cannot be read" in fault.message
