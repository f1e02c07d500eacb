"""The cache folder and the one of temporary files, where they cannot be used."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from support.program import run
from sweep.config.folders import cache_dir, cache_faults, expanded, temporary_faults
from sweep.errors import reported


@pytest.mark.parametrize("name", ["file", "file/below", "link"])
def test_a_file_in_the_way(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path / name))
    (fault,) = cache_faults()
    at = tmp_path / name.split("/")[0]
    assert fault.path == "SWEEP_CACHE"
    assert fault.message == f"is {tmp_path / name}, but {at} is no folder; name a folder that can be made or written to"


def test_a_tilde_stands_for_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("SWEEP_CACHE", "~/cache")
    assert cache_dir() == expanded("~/cache") == Path("/home/me/cache")
    assert expanded("~nobody-of-this-name/cache") == Path("~nobody-of-this-name/cache")
    assert expanded("a/~b") == Path("a/~b")


@pytest.mark.parametrize("name", ["tokenised", "features", "gguf"])
def test_a_file_in_the_place_of_the_cache(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).touch()
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path))
    (fault,) = cache_faults()
    assert f"{tmp_path / name} is no folder" in fault.message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o500)
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path / "cache"))
    (fault,) = cache_faults()
    tmp_path.chmod(0o700)
    assert f"{tmp_path} cannot be written to" in fault.message


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that nobody can write to")
def test_a_place_that_cannot_be_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWEEP_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", f"/dev/null/{'x' * 300}")
    (fault,) = cache_faults()
    assert fault.message.startswith("is not set, so that /dev/null/x") and "name a folder" in fault.message


def test_a_folder_that_is_not_there_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path / "new" / "cache"))
    assert not cache_faults()
    assert not (tmp_path / "new").exists()


@pytest.fixture
def no_temporary_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every folder for temporary files be one that nobody can write to."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/dev/null/temporary"])


def test_a_folder_for_temporary_files_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert not temporary_faults()


@pytest.mark.usefixtures("no_temporary_folder")
def test_no_folder_for_temporary_files_can_be_written_to() -> None:
    (fault,) = temporary_faults()
    assert fault.message.startswith("no folder for temporary files can be written to: ")
    assert fault.message.endswith("set TMPDIR to a folder that can be written to")


@pytest.mark.usefixtures("no_temporary_folder")
def test_a_command_that_finds_none_ends_in_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done, reported():
        tempfile.mkdtemp()
    assert done.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("sweep: a file could not be read or written: No usable temporary directory found in")
    assert "set TMPDIR to a folder that can be written to" in told


@pytest.mark.parametrize("dry", ["true", "false"])
def test_the_program_says_so_and_ends(
    dry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path / "file"))
    arguments = ("+experiment=quickstart", "tracker=none", f"study.dry_run={dry}", f"run_dir={tmp_path / 'run'}")
    assert run(monkeypatch, *arguments) == 2
    said = capsys.readouterr().err
    assert "SWEEP_CACHE: is " in said and "(from the environment)" in said and "Traceback" not in said
    assert not (tmp_path / "run").exists()
