from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize(
    "path", ["../nowhere/data", "/nowhere/at/all", "a/b/c", "./x", "rows.csv", "", "~/nowhere-at-all"]
)
def test_a_path_that_is_not_there_asks_no_hub(path, only_fault):
    fault = only_fault(path)
    assert fault.path == "dataset.path" and "no folder or file" in fault.message


def test_a_hub_id_without_a_network_says_how_to_go_on(only_fault):
    fault = only_fault("someone/something")
    assert fault.path == "dataset.path"
    assert (
        "someone/something" in fault.message and "cannot be reached" in fault.message and "train.csv" in fault.message
    )


def test_a_relative_path_is_seen_from_here(toy, monkeypatch):
    from sweep.config.schema import DatasetConfig
    from sweep.data.splits import load_splits

    monkeypatch.chdir(toy.parent)
    assert len(load_splits(DatasetConfig(path=Path("rows").as_posix())).train) == 16


def test_names_that_the_system_does_not_take(toy, only_fault):
    fault = only_fault("x" * 5000)
    assert fault.path == "dataset.path" and "File name too long" in fault.message
    fault = only_fault(toy, train_split="x" * 5000)
    assert fault.path == "dataset.train_split" and "File name too long" in fault.message


def test_a_file_with_a_known_ending_asks_no_hub(only_fault):
    assert "is no folder or file" in only_fault("rows.csv.gz").message


def test_a_pipe_is_not_waited_for(tmp_path, only_fault):
    os.mkfifo(tmp_path / "rows.csv")
    assert "which is neither a folder nor a regular file" in only_fault(tmp_path / "rows.csv").message


def test_a_folder_that_this_user_may_not_read_is_a_fault_of_its_key(toy, only_fault, monkeypatch):
    def refused(_folder: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", "dataset_dict.json")

    monkeypatch.setattr("sweep.data.sources.is_saved", refused)
    fault = only_fault(toy)
    assert fault.path == "dataset.path" and fault.message.endswith("which cannot be read: Permission denied")


@pytest.mark.parametrize("name", ["validation.csv", "dev.csv"])
def test_a_validation_file_that_no_key_names_is_reported(name, toy):
    from sweep.config.schema import DatasetConfig
    from sweep.data.splits import load_splits

    def notes(**config: Any) -> tuple[str, ...]:
        return load_splits(DatasetConfig(path=str(toy), **config)).warnings

    (toy / name).write_bytes((toy / "test.csv").read_bytes())
    stem = name.removesuffix(".csv")
    said = (
        f"{name} is not read: validation rows are cut off train; dataset.validation_split={stem} takes them from there"
    )
    assert said in notes()
    for named in (
        {"validation_split": stem},
        {"test_split": stem},
        {"train_split": f"train+{name}", "test_split": None},
    ):
        assert said not in notes(**named)


def test_a_link_to_nothing_is_told(tmp_path, toy, only_fault):
    (tmp_path / "moved").symlink_to(tmp_path / "away")
    fault = only_fault(tmp_path / "moved")
    assert fault.path == "dataset.path" and "which is a link to a file that is not there" in fault.message
    (toy / "dev.csv").symlink_to(tmp_path / "away.csv")
    assert "not read: dev.csv (a link to a file that is not there)" in only_fault(toy, validation_split="dev").message
