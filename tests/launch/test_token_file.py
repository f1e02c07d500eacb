"""The rights of the file with Ray's token."""

from __future__ import annotations

from pathlib import Path
from stat import S_IMODE

import pytest

from sweep.launch.token_file import token_for_user_alone


def test_a_token_that_is_made_is_for_the_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / ".ray" / "auth_token"
    with token_for_user_alone():
        assert S_IMODE(file.parent.stat().st_mode) == 0o700
        file.write_text("token")
    assert S_IMODE(file.stat().st_mode) == 0o600


def test_a_token_that_is_there_keeps_its_rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / ".ray" / "auth_token"
    file.parent.mkdir()
    file.write_text("token")
    file.chmod(0o640)
    with token_for_user_alone():
        pass
    assert S_IMODE(file.stat().st_mode) == 0o640


def test_a_home_that_holds_no_folder_is_left_to_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").write_text("a file")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with token_for_user_alone():
        pass
