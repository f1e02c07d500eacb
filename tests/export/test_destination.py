from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from filelock import FileLock

from sweep.errors import UserError
from sweep.export.destination import filled
from sweep.export.request import Request, check


@pytest.mark.parametrize("there", [False, True])
def test_the_folder_appears_as_a_whole(there: bool, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "model"
    if there:
        target.mkdir(parents=True)
    before = os.umask(0o027)
    try:
        with filled(target) as folder:
            (folder / "config.json").write_text("{}")
            assert not (target / "config.json").exists()
    finally:
        os.umask(before)
    assert [file.name for file in target.iterdir()] == ["config.json"]
    assert target.stat().st_mode & 0o777 == 0o750
    assert [path.name for path in target.parent.iterdir()] == ["model"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, UserError.of("x", "is wrong")])
def test_an_error_leaves_nothing(error: BaseException | type[BaseException], tmp_path: Path) -> None:
    with pytest.raises((KeyboardInterrupt, UserError)), filled(tmp_path / "deep" / "model") as folder:
        (folder / "config.json").write_text("{}")
        raise error
    assert list((tmp_path / "deep").iterdir()) == []


def test_what_a_killed_process_left_is_deleted_by_the_next_one(tmp_path: Path) -> None:
    killed, alive, other = (tmp_path / f".model.{name}" for name in ("killed", "alive", "other"))
    for one in (killed, alive, other):
        (one / "model").mkdir(parents=True)
    (killed / ".held").touch()
    with FileLock(alive / ".held"), filled(tmp_path / "model") as folder:
        (folder / "config.json").write_text("{}")
    assert {path.name for path in tmp_path.glob("*model*")} == {"model", alive.name, other.name}


def test_a_mount_with_nothing_but_what_a_killed_process_left_is_empty(tmp_path: Path) -> None:
    (tmp_path / "mount" / ".mount.killed" / "mount").mkdir(parents=True)
    (tmp_path / "mount" / ".mount.killed" / ".held").touch()
    check(Request("merged", str(tmp_path / "mount")), prompt=None)
    (tmp_path / "mount" / "mine.txt").touch()
    with pytest.raises(UserError, match="holds files already"):
        check(Request("merged", str(tmp_path / "mount")), prompt=None)


def test_the_working_directory_gets_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell in it would find no file in a folder that was replaced."""
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    with filled(Path()) as folder:
        (folder / "config.json").write_text("{}")
    assert os.listdir() == ["config.json"]  # noqa: PTH208 of the directory that the process is in
    assert [path.name for path in tmp_path.glob("*mine*")] == ["mine"]


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be made"), filled(tmp_path / "file" / "model"):
        raise AssertionError("there is no such folder")


def test_a_link_to_a_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    with filled(tmp_path / "link") as folder:
        (folder / "config.json").write_text("{}")
    assert (tmp_path / "link").is_symlink() and [file.name for file in (tmp_path / "disk").iterdir()] == ["config.json"]


def busy(self: Path, target: Path) -> None:
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))


@pytest.mark.parametrize("known", [True, False])
def test_a_mount_gets_the_files(known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mount").mkdir()
    monkeypatch.setattr(Path, "is_mount", lambda path: known)
    monkeypatch.setattr(Path, "replace", busy)
    with filled(tmp_path / "mount") as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "config.json").write_text("{}")
        assert (tmp_path / "mount" in folder.parents) == known
    assert [str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.json")] == ["mount/inner/config.json"]
    assert [file.name for file in (tmp_path / "mount").iterdir()] == ["inner"]


@pytest.mark.parametrize("known", [True, False])
def test_files_that_came_meanwhile_stay(known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(Path, "is_mount", lambda path: known)
    with (
        pytest.raises(UserError, match="out: cannot be filled: Directory not empty"),
        filled(tmp_path / "out") as folder,
    ):
        (folder / "config.json").write_text("{}")
        (tmp_path / "out" / "mine.txt").write_text("mine")
    assert [file.name for file in (tmp_path / "out").rglob("*")] == ["mine.txt"]
    assert not [*tmp_path.glob(".out.*")]
