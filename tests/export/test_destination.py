from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from sweep.errors import UserError
from sweep.export.destination import filled


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
