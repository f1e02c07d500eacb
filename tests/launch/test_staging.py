"""The copy of the code that workers are sent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from sweep.config.schema import Config
from sweep.errors import UserError
from sweep.launch.code import code_fingerprint, own_names, sent_code
from sweep.launch.staging import stage, too_large


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """The folder that is sent."""
    (tmp_path / "sent").mkdir()
    return tmp_path / "sent"


def run_there(folder: Path, code: str) -> str:
    """Return what a program prints that has the folder alone on its path."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip


def test_code_of_the_user_is_staged_beside_sweep_and_both_can_be_imported(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text("")
    (tmp_path / "mine" / "metrics.py").write_text("def gain(): ...\n")
    (tmp_path / "plain").mkdir()  # without __init__.py
    (tmp_path / "plain" / "metrics.py").write_text("from helpers_of_mine import gain\n")
    (tmp_path / "helpers_of_mine.py").write_text("def gain(): ...\n")
    (tmp_path / "never_imported.py").write_text("")
    (tmp_path / "single.py").write_text("def gain():\n    import imported_later\n    import numpy.linalg\n")
    (tmp_path / "imported_later.py").write_text("from named_by_it.deep import gain\n")
    (tmp_path / "named_by_it").mkdir()
    (tmp_path / "named_by_it" / "old.py").write_text("print 'of Python 2'\n")
    monkeypatch.syspath_prepend(tmp_path)
    names = ["mine.metrics.gain", "plain.metrics.gain", "single.gain"]
    assert own_names([Config.model_validate({"dataset": {"metrics": tuple(names)}})]) == names
    stage(target, names)
    sent = ["helpers_of_mine.py", "imported_later.py", "mine", "named_by_it", "plain", "single.py", "sweep"]
    assert sorted(path.name for path in target.iterdir()) == sent
    assert not list(target.rglob("__pycache__"))
    code = (
        "from sweep.config.folders import conf_dir, sweeps_dir; from sweep.launch.code import code_fingerprint;"
        "import mine.metrics, plain.metrics, single; print(conf_dir(), sweeps_dir(), code_fingerprint())"
    )
    assert run_there(target, code).split() == [
        str(target / "sweep" / "conf"),
        str(target / "sweep" / "sweeps"),
        code_fingerprint(),
    ]


def test_a_module_and_a_package_in_a_zip_file_are_staged(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ZipFile(tmp_path / "own.zip", "w") as archive:
        archive.writestr("zipped_alone.py", "def gain(): ...\n")
        archive.writestr("zipped/__init__.py", "")
        archive.writestr("zipped/deep/__init__.py", "")
        archive.writestr("zipped/deep/metrics.py", "from zipped_beside import gain\n")
        archive.writestr("zipped_beside.py", "def gain(): ...\n")
        archive.writestr("never_imported_either.py", "")
    monkeypatch.syspath_prepend(tmp_path / "own.zip")
    names = ["zipped_alone.gain", "zipped.deep.metrics.gain"]
    stage(target, names)
    assert sorted(path.name for path in target.iterdir()) == ["sweep", "zipped", "zipped_alone.py", "zipped_beside.py"]
    found = run_there(target, f"from sweep.launch.code import sent_code; print(sent_code({names}))")
    assert found.strip() == str(sent_code(names))


def test_what_is_no_code_beside_a_module_is_left_out(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "odd_files"
    (own / "data").mkdir(parents=True)
    (own / "__init__.py").write_text("def gain(): ...\n")
    (own / "data" / "weights.json").write_text("{}")
    (own / "nowhere").symlink_to("/nowhere/at/all")
    (own / "data" / "up").symlink_to(own)
    (own / "linked.json").symlink_to(own / "data" / "weights.json")
    os.mkfifo(own / "pipe")
    monkeypatch.syspath_prepend(tmp_path)
    stage(target, ["odd_files.gain"])
    sent = {str(path.relative_to(target / own.name)) for path in (target / own.name).rglob("*")}
    assert sent == {"__init__.py", "data", "data/weights.json", "linked.json"}


def test_a_file_that_cannot_be_copied_is_named(tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "full_package").mkdir()
    (tmp_path / "full_package" / "__init__.py").write_text("def gain(): ...\n")
    (tmp_path / "full_package" / "broken.bin").symlink_to("/proc/self/mem")  # reading it is an error
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        UserError, match=r"launcher: is ray, .* but .*full_package/broken.bin cannot be copied: .*error"
    ):
        stage(target, ["full_package.gain"])


def test_a_copy_that_is_too_large_is_told_with_its_largest_file(target: Path) -> None:
    (target / "mine").mkdir()
    (target / "mine" / "__init__.py").write_text("")
    with (target / "mine" / "rows.bin").open("wb") as file:
        file.truncate(700 * 2**20)  # takes no room on the disk
    assert "it has 700 MiB, and mine/rows.bin alone 700 MiB; Ray takes 512 MiB" in str(too_large(target))
