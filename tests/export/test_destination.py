from __future__ import annotations

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
