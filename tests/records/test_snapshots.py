"""Snapshot files in the run directory."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from support.toys import toy_snapshot
from sweep.records import snapshots as module
from sweep.records.events import append_row, events_path, mended_rows, read_rows
from sweep.records.recovery import recover
from sweep.records.snapshot import Snapshot
from sweep.records.snapshots import Snapshots, confirm_key, refit_key, retrain_key, trial_key
from sweep.records.store import Store
from sweep.records.trial import EvalPoint, Step

POINT = EvalPoint(1, 10, 1.0, {"eval/loss": 0.5})


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def snapshots(tmp_path: Path, said: list[str]) -> Snapshots:
    return Snapshots(tmp_path, said.append)


def test_the_newest_snapshot_of_each_training_is_kept(snapshots: Snapshots, tmp_path: Path) -> None:
    assert snapshots.keys() == [] and snapshots.read(trial_key(3)) is None and snapshots.step(trial_key(3)) == 0
    for step in (10, 20):
        assert snapshots.write(trial_key(3), toy_snapshot(1, step, [POINT]))
    for key in (confirm_key(3, 1), retrain_key(3), refit_key(3)):
        snapshots.write(key, toy_snapshot(1, 5, []))
    assert snapshots.keys() == ["confirm-0003-1", "refit-0003", "retrain-0003", "trial-0003"]
    found = Snapshots(tmp_path).read(trial_key(3))
    assert found == toy_snapshot(1, 20, [POINT]) and snapshots.step(trial_key(3)) == 20
    for key in snapshots.keys():  # noqa: SIM118
        snapshots.drop(key)
    snapshots.drop(trial_key(3))
    assert list((tmp_path / "snapshots").iterdir()) == []


@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"\xff" * 100, b"\x09\0\0\0\0\0\0\0{}"])
def test_a_damaged_snapshot_is_told_and_deleted(
    snapshots: Snapshots, said: list[str], tmp_path: Path, data: bytes
) -> None:
    snapshots.write(trial_key(3), Snapshot(data))
    assert snapshots.step(trial_key(3)) == 0
    assert snapshots.read(trial_key(3)) is None and snapshots.keys() == []
    (line,) = said
    assert line.endswith("trial 0003 begins anew")


def test_a_disk_that_is_full_costs_one_line_and_keeps_the_former_snapshot(
    snapshots: Snapshots, said: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    snapshots.write(trial_key(3), toy_snapshot(1, 10, []))

    def full(_from: str, _to: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        assert [snapshots.write(trial_key(3), toy_snapshot(2, 20, [])) for _ in range(3)] == [False] * 3
    assert len(said) == 1 and "No space left" in said[0]
    assert snapshots.step(trial_key(3)) == 10
    assert [path.name for path in (tmp_path / "snapshots").iterdir()] == ["trial-0003.safetensors"]
    assert snapshots.write(trial_key(3), toy_snapshot(2, 20, []))


@pytest.mark.parametrize(("free", "kept"), [(223, True), (222, False), (50, False)])
def test_all_snapshots_leave_a_tenth_of_the_space_that_is_free_without_them(
    snapshots: Snapshots, said: list[str], monkeypatch: pytest.MonkeyPatch, free: int, kept: bool
) -> None:
    """Ten snapshots of 100 bytes are there. An eleventh leaves 123 bytes of 1,223."""
    for number in range(10):
        snapshots.write(trial_key(number), Snapshot(b"x" * 100))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    assert snapshots.write(trial_key(10), Snapshot(b"x" * 100)) is kept
    assert bool(said) is not kept and (trial_key(10) in snapshots.keys()) is kept  # noqa: SIM118


def test_rows_are_on_the_disk_before_a_snapshot_is(
    snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(Path(f"/proc/self/fd/{handle}").readlink().name))
    append_row(POINT, tmp_path)
    snapshots.write(trial_key(3), toy_snapshot(1, 10, []), events_path(tmp_path))
    assert synced == []
    monkeypatch.setattr(module, "SYNC_EVERY", 0.0)
    snapshots.write(trial_key(3), toy_snapshot(1, 10, []), events_path(tmp_path))
    assert synced == ["events.jsonl", f"trial-0003.safetensors.{os.getpid()}.tmp", "snapshots"]


def test_half_a_snapshot_is_deleted_by_the_next_process(snapshots: Snapshots, tmp_path: Path) -> None:
    snapshots.write(trial_key(3), toy_snapshot(1, 10, []))
    (tmp_path / "snapshots" / "trial-0003.safetensors.123.tmp").write_bytes(b"half")
    assert recover(Store(tmp_path)) == []
    assert [path.name for path in (tmp_path / "snapshots").iterdir()] == ["trial-0003.safetensors"]


def test_rows_with_a_damaged_line_are_rewritten(tmp_path: Path) -> None:
    step = Step(10, 20, 0.5, {"train/loss": 1.0})
    for event in (step, POINT):
        append_row(event, tmp_path)
    whole = events_path(tmp_path).read_bytes()
    events_path(tmp_path).write_bytes(whole + b'{"type": "eval", "ind')
    assert mended_rows(tmp_path) == [step, POINT]
    assert events_path(tmp_path).read_bytes() == whole
    append_row(POINT, tmp_path)
    assert read_rows(tmp_path) == [step, POINT, POINT]
    assert mended_rows(tmp_path / "nowhere") == [] and not (tmp_path / "nowhere").exists()
