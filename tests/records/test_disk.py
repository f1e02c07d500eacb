from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from sweep.records.disk import append_line, write_whole
from sweep.records.recovery import recover
from sweep.records.store import Store


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "record.json"
    write_whole(path, "one")
    write_whole(path, b"two")
    assert path.read_text() == "two"
    assert [found.name for found in path.parent.iterdir()] == ["record.json"]


def test_a_full_disk_leaves_the_old_file_and_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "record.json"
    write_whole(path, "one")

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="record.json") as failed:
        write_whole(path, "two")
    assert failed.value.errno == errno.ENOSPC
    assert not list(tmp_path.glob("*.tmp")) and path.read_text() == "one"


def test_a_temporary_file_that_another_process_deletes_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report may be written where a study takes up its run directory."""
    deleted: list[str] = []
    root = tmp_path / "run"

    def recovers(_handle: int) -> None:
        if not deleted:
            deleted.extend(path.name for path in root.glob("*.tmp"))
            assert recover(Store(root)) == []

    monkeypatch.setattr(os, "fsync", recovers)
    write_whole(root / "report.md", "text")
    assert deleted == [f"report.md.{os.getpid()}.tmp"]
    assert [(path.name, path.read_text()) for path in root.iterdir()] == [("report.md", "text")]


def test_a_line_that_was_cut_off_is_not_added_to(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    append_line(path, "one")
    path.write_bytes(path.read_bytes() + b"tw")
    append_line(path, "three")
    assert path.read_text() == "one\nthree\n"
