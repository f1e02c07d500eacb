"""The code that workers run, and what has to be the same on both sides."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.launch.code import code_fingerprint, differences, own_code, sent_code, versions


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


def test_code_that_is_sent_counts_as_equal_whether_or_not_it_is_installed_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "in_place.py").write_text("def gain(): ...\n")
    monkeypatch.syspath_prepend(tmp_path / "code")
    there = sent_code(["in_place.gain"])
    about = tmp_path / "about" / "in_place-0.1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: in-place\nVersion: 0.1\n")
    (about / "top_level.txt").write_text("in_place\n")
    monkeypatch.syspath_prepend(tmp_path / "about")
    assert own_code(["in_place.gain"])["in_place.gain"].startswith("in-place 0.1, sha256 ")
    assert sent_code(["in_place.gain"]) == there


def test_code_that_is_installed_is_compared_by_its_version() -> None:
    assert sent_code(["sklearn.metrics.accuracy_score"]) == own_code(["sklearn.metrics.accuracy_score"])
    assert "scikit-learn" in sent_code(["sklearn.metrics.accuracy_score"])["sklearn.metrics.accuracy_score"]
