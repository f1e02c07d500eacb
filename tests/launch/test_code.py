"""The code that workers run, and what has to be the same on both sides."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sweep.config.schema import Config
from sweep.launch.code import code_fingerprint, differences, own_names, stage, versions


def test_a_fingerprint_of_the_code_does_not_change_by_itself() -> None:
    assert code_fingerprint() == code_fingerprint() and len(code_fingerprint()) == 64


def test_a_difference_names_both_sides() -> None:
    ours, theirs = {"torch": "2.13.0", "peft": "0.21.0", "numpy": "2"}, {"torch": "2.12.0", "numpy": "2"}
    assert differences(ours, theirs, "here") == [
        "peft is missing there, and 0.21.0 here", "torch is 2.12.0 there, and 2.13.0 here",
    ]  # fmt: skip


def test_builds_of_one_version_count_as_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"torch": "2.13.0+cu128", "wandb": "0.31"}
    monkeypatch.setattr("sweep.launch.code.package_versions", lambda: found)
    assert versions() == {"torch": "2.13.0"}


def test_code_of_the_user_is_staged_beside_sweep_and_both_can_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text("")
    (tmp_path / "mine" / "metrics.py").write_text("def gain(): ...\n")
    (tmp_path / "plain").mkdir()  # without __init__.py
    (tmp_path / "plain" / "metrics.py").write_text("from helpers_of_mine import gain\n")
    (tmp_path / "helpers_of_mine.py").write_text("def gain(): ...\n")
    (tmp_path / "never_imported.py").write_text("")
    (tmp_path / "single.py").write_text("def gain(): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    target = tmp_path / "sent"
    target.mkdir()
    names = ["mine.metrics.gain", "plain.metrics.gain", "single.gain"]
    assert own_names([Config.model_validate({"dataset": {"metrics": tuple(names)}})]) == names
    stage(target, names)
    sent = ["helpers_of_mine.py", "mine", "plain", "single.py", "sweep"]
    assert sorted(path.name for path in target.iterdir()) == sent
    assert not list(target.rglob("__pycache__"))
    code = (
        "from sweep.config.folders import conf_dir, sweeps_dir; from sweep.launch.code import code_fingerprint;"
        "import mine.metrics, plain.metrics, single; print(conf_dir(), sweeps_dir(), code_fingerprint())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=target,
        env={"PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(target / "sweep" / "conf"), str(target / "sweep" / "sweeps"), code_fingerprint()]
