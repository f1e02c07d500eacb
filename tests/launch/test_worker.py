"""The files, errors and snapshots of a worker."""

from __future__ import annotations

import errno
import os
import pickle
import time
from dataclasses import replace
from pathlib import Path

import pytest

from support import toys
from support.small_files import small_files
from sweep.errors import Fault, UserError
from sweep.launch.kept_snapshots import Kept, kept_key, kept_snapshots, newest, take_over
from sweep.launch.worker import packed, picklable, unpack
from sweep.records.snapshot import Snapshot
from sweep.records.snapshots import Snapshots
from sweep.records.trial import TrialPlan


def snapshot(step: int) -> Snapshot:
    header = f'{{"__metadata__":{{"format":"1","step":"{step}"}}}}'.encode()
    return Snapshot(len(header).to_bytes(8, "little") + header)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> TrialPlan:
    return toys.plan(tmp_path_factory.mktemp("plan"), "adapter=full").trial(3, {})


def test_adapters_of_a_trial_replace_those_that_are_there(tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    for folder, text in ((there / "best", "new"), (there / "newest", "newest"), (here / "best", "old")):
        folder.mkdir(parents=True)
        (folder / "weights").write_text(text)
    (here / "best" / "left over").write_text("")
    (there / "best.new").mkdir()
    unpack(packed(there), here)
    assert sorted(str(path.relative_to(here)) for path in here.rglob("*") if path.is_file()) == [
        "best/weights", "newest/weights",
    ]  # fmt: skip
    assert (here / "best" / "weights").read_text() == "new"


def test_adapters_that_the_disk_does_not_take_are_named(tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    (there / "best").mkdir(parents=True)
    (there / "best" / "weights").write_bytes(bytes(8192))
    data = packed(there)
    with small_files(), pytest.raises(OSError) as found:
        unpack(data, here)
    assert (found.value.errno, found.value.filename) == (errno.EFBIG, str(here / "best.new"))


def test_faults_travel() -> None:
    error = UserError([Fault("a.key", "is wrong", "the command line"), Fault("", "rule")])
    found = pickle.loads(pickle.dumps(error))
    assert found.faults == error.faults and str(found) == str(error)


def test_an_error_that_cannot_travel_keeps_its_text() -> None:
    class Local(Exception):
        pass

    assert repr(picklable(Local("of a test"))) == "RuntimeError('Local: of a test')"
    error = ValueError("plain")
    assert picklable(error) is error


def test_snapshots_of_a_training_of_all_weights_stay_on_the_machine(
    plan: TrialPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path))
    kept, key = kept_snapshots("study"), kept_key(plan)
    assert plan.kept_on_worker and kept.read(key) is None
    kept.write(key, snapshot(4))
    assert kept.read(key) is not None
    assert kept_snapshots("other").read(key) is None and kept.read(kept_key(replace(plan, number=4))) is None


@pytest.mark.parametrize(
    ("ours", "theirs", "taken"), [(None, None, None), (2, None, 2), (None, 4, 4), (2, 4, 4), (4, 2, 4)]
)
def test_a_training_goes_on_from_the_newest_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ours: int | None, theirs: int | None, taken: int | None
) -> None:
    """The study began in one process and goes on with workers, or the other way round."""
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path / "cache"))
    kept, own = Kept("study", "trial-0001-7"), Snapshots(tmp_path / "run")
    if theirs is not None:
        kept.snapshots.write(kept.key, snapshot(theirs))
    if ours is not None:
        own.write("trial-0001", snapshot(ours))
    found = newest(own.read("trial-0001"), kept.snapshots, kept.key)
    assert (None if found is None else found.step) == taken
    take_over(own, "trial-0001", kept)
    assert own.step("trial-0001") == (taken or 0)
    assert kept.snapshots.keys() == ([kept.key] if theirs is not None and theirs != taken else [])


def test_snapshots_that_nobody_wrote_for_a_week_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path))
    for study in ("old", "new"):
        kept_snapshots(study).write("trial-0001-7", snapshot(4))
    old = time.time() - 8 * 24 * 3600
    os.utime(tmp_path / "kept" / "old" / "snapshots", (old, old))
    assert kept_snapshots("old").keys() == ["trial-0001-7"]  # the study goes on after more than a week
    assert kept_snapshots("new").keys() == ["trial-0001-7"]
    assert kept_snapshots("old").keys() == []
