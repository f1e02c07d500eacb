from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from sweep.errors import Fault, Interrupted, UserError, disk_failure, reported


def _caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def test_every_fault_is_printed_once_with_its_origin_and_ends_in_2(capsys: pytest.CaptureFixture[str]) -> None:
    fault = Fault("adapter.r", "is 0, but must be at least 1", "the command line")
    with pytest.raises(SystemExit) as done, reported():
        raise UserError([fault, Fault("", "something else"), fault])
    assert done.value.code == 2
    assert capsys.readouterr().err.splitlines() == [
        "sweep: 2 things to mend:",
        "  - adapter.r: is 0, but must be at least 1  (from the command line)",
        "  - something else",
    ]


def test_an_interrupt_ends_in_130(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done, reported():
        raise Interrupted("stopped; the same command goes on")
    assert done.value.code == 130
    assert capsys.readouterr().err == "sweep: stopped; the same command goes on\n"


@pytest.mark.parametrize("below", ["x" * 300, f"{__file__}/below", "ring"])
def test_a_path_that_no_file_can_have_ends_in_2(below: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ring").symlink_to(tmp_path / "ring")
    with pytest.raises(SystemExit) as done, reported():
        (tmp_path / below).read_text()
    assert done.value.code == 2
    said = capsys.readouterr().err
    assert said.endswith("; name another path\n") and len(said) < 200


def test_a_folder_in_place_of_a_file_ends_in_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done, reported():
        tmp_path.read_text()
    assert done.value.code == 2
    assert "Is a directory; move that folder away, or name another path" in capsys.readouterr().err


def test_too_many_open_files_end_in_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done, reported():
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "lock.json")
    assert done.value.code == 2
    assert "too many files are open. Raise their limit (ulimit -n)" in capsys.readouterr().err


def test_a_deleted_working_directory_ends_in_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here").rmdir()
    with pytest.raises(SystemExit) as done, reported():
        Path("x").absolute()
    assert done.value.code == 2
    assert "the working directory was deleted" in capsys.readouterr().err


@pytest.mark.parametrize("lines", [1, 100_000])  # in the buffer at the end, and written before
def test_output_that_nobody_reads_ends_in_141_without_a_word(lines: int) -> None:
    program = f"from sweep.errors import reported\nwith reported():\n    for _ in range({lines}): print('text')"
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing) as unread:
        done = subprocess.run([sys.executable, "-c", program], stdout=unread, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (141, b"")


def test_another_pipe_that_breaks_is_an_error() -> None:
    with pytest.raises(BrokenPipeError), reported():
        raise BrokenPipeError


def test_a_second_interrupt_ends_in_130_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done, reported():
        raise KeyboardInterrupt
    assert done.value.code == 130
    assert "stopped at once" in capsys.readouterr().err


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), reported():
        raise ZeroDivisionError


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "model.bin"),
        OSError(errno.EROFS, "Read-only file system"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
        _caused(RuntimeError("the storage failed"), OSError(errno.EDQUOT, "Disk quota exceeded")),
    ],
)
def test_a_disk_that_fails_ends_in_2(capsys: pytest.CaptureFixture[str], error: Exception) -> None:
    assert disk_failure(error)
    with pytest.raises(SystemExit) as done, reported():
        raise error
    assert done.value.code == 2
    assert "What was recorded is kept" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "best"), "best: No space left on device. Make room on that disk."),
        (OSError(errno.EFBIG, os.strerror(errno.EFBIG), "best"), "File too large. Raise the limit of a file's size (ulimit -f)."),
        (OSError(errno.EIO, os.strerror(errno.EIO), "best"), "Input/output error. What was recorded"),
    ],
)  # fmt: skip
def test_the_message_on_a_disk_says_what_to_do(capsys: pytest.CaptureFixture[str], error: OSError, advice: str) -> None:
    with pytest.raises(SystemExit), reported():
        raise error
    assert advice in capsys.readouterr().err


def test_folders_that_take_no_temporary_file_are_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine whose only disk is full. Libraries make temporary files as they are imported."""
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", lambda: ["/dev/null"])
    with pytest.raises(SystemExit) as done, reported():
        try:
            tempfile.gettempdir()
        except FileNotFoundError as error:
            raise ModuleNotFoundError("Could not import module") from error
    rule = "could not be read or written: No usable temporary directory found in ['/dev/null']. Make room on the disk"
    assert done.value.code == 2 and rule in capsys.readouterr().err


def test_a_full_sqlite_is_a_failure_of_the_disk_and_a_wrong_statement_is_not(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "full.db")) as connection:
        connection.execute("PRAGMA max_page_count = 1")
        with pytest.raises(sqlite3.Error) as full:
            connection.execute("CREATE TABLE one (value)")
        with pytest.raises(sqlite3.Error) as wrong:
            connection.execute("SELECT nothing")
    assert disk_failure(full.value) == "SQLite: database or disk is full"
    assert disk_failure(wrong.value) is None
    assert disk_failure(FileNotFoundError(errno.ENOENT, "No such file", "x")) is None
