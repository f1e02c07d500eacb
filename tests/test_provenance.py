from __future__ import annotations

import subprocess
from functools import lru_cache
from pathlib import Path

import pytest

from sweep import provenance
from sweep.provenance import Fingerprint, git_state, machine, package_versions


def test_pieces_do_not_run_into_each_other() -> None:
    assert Fingerprint().add("ab").add("c").hex() != Fingerprint().add("a").add("bc").hex()
    assert Fingerprint().add("ab").hex() == Fingerprint().add(b"ab").hex()


def test_a_file_counts_by_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").write_text("x")
    assert Fingerprint().add_file(tmp_path / "a").hex() == Fingerprint().add_file(tmp_path / "b").hex()


def test_the_state_of_a_checkout(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=n", "-c", "user.email=e@example.org")
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    assert git_state(tmp_path).commit == ""
    git("init")
    (tmp_path / "file").write_text("one\n")
    git("add", ".")
    git("commit", "-m", "first")
    clean = git_state(tmp_path)
    assert len(clean.commit) == 40 and not clean.dirty and clean.diff == ""
    (tmp_path / "file").write_text("two\n")
    changed = git_state(tmp_path)
    assert changed.dirty and "+two" in changed.diff


def test_versions_and_machine_are_known() -> None:
    assert {"torch", "transformers", "optuna"} <= set(package_versions())
    assert machine()["cpu"]


def test_a_large_file_is_read_again_only_where_it_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweep.provenance._LARGE", 3)
    read: list[Path] = []
    usual = provenance._digest
    monkeypatch.setattr("sweep.provenance._kept_digest", lru_cache(lambda path, *_: read.append(path) or usual(path)))
    file = tmp_path / "weights"
    file.write_bytes(b"12345")
    first = [Fingerprint().add_file(file).hex() for _ in range(2)]
    file.write_bytes(b"1234567")
    assert first[0] == first[1] != Fingerprint().add_file(file).hex()
    assert len(read) == 2
