from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from sweep.errors import UserError
from sweep.records.cost import Cost
from sweep.records.events import append_row
from sweep.records.final import Repeat
from sweep.records.marks import UnfinishedState
from sweep.records.recovery import clear_old, recover, refuse_foreign
from sweep.records.store import Store
from sweep.records.trial import Completed, EvalPoint, TrialRecord

POINT = EvalPoint(1, 10, 1.0, {"eval/accuracy": 0.5, "eval/loss": 0.7})


def record(number: int) -> TrialRecord:
    return TrialRecord(number, {}, Completed(POINT, (POINT,), Cost()), "", 10, "a", "b")


@pytest.mark.parametrize("damage", [b"", b'{"number": 3, "par', b"[]", b"null", b"{}", b"\x00" * 64, b"\xff\xfe\x00"])
def test_a_record_that_cannot_be_read_is_set_aside(tmp_path: Path, damage: bytes) -> None:
    store = Store(tmp_path)
    for number in (2, 3):
        store.write_trial(record(number))
    store.write_repeat(Repeat(3, 17, POINT, Cost()), 1)
    damaged = (store.trial_dir(3) / "record.json", store.repeat_path(3, 1))
    for path in damaged:
        path.write_bytes(damage)
    lines = recover(store)
    assert len(lines) == 2 and all(any(str(path) in line for line in lines) for path in damaged)
    assert [path.with_name(f"{path.name}.damaged").read_bytes() for path in damaged] == [damage] * 2
    assert (store.trials(), store.repeat(3, 1)) == ([record(2)], None)
    assert recover(store) == []
    damaged[0].write_bytes(damage)
    assert "record.json.damaged-2" in recover(store)[0]


def test_files_of_a_killed_process_are_deleted(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (tmp_path / "notes.tmp").write_text("of the user")
    store.write_trial(record(3))
    for name in (
        "lock.json.7.tmp", "trials/0003/record.json.8.tmp", "study/tracker_run.9.tmp", "figures/a.svg.9.tmp",
        "wandb-mock/runs/x.partial", ".scratch/sweep-x/big",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("half")
    assert recover(store) == []
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file() and ".own" not in path.parts) == [
        "notes.tmp", "record.json",
    ]  # fmt: skip


def test_a_folder_with_files_of_others_is_no_place_for_a_study(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("kept")
    refuse_foreign(tmp_path)
    (tmp_path / "report.md").write_text("of another program")
    with pytest.raises(UserError, match=r"is no run directory .* but holds report.md, which a study would write over"):
        refuse_foreign(tmp_path)
    (tmp_path / ".held").touch()
    refuse_foreign(tmp_path)


@pytest.mark.parametrize(
    ("left", "kept"),
    [
        (("best", "best.new"), "best"),
        (("best.old", "best.new"), "best.new"),
        (("best", "best.old"), "best"),
        (("best.old",), "best.old"),
        (("best.new",), None),
    ],
)
def test_a_folder_that_was_half_replaced_has_one_of_its_states(
    tmp_path: Path, left: tuple[str, ...], kept: str | None
) -> None:
    store = Store(tmp_path)
    for name in left:
        (store.trial_dir(3) / name).mkdir(parents=True)
        (store.trial_dir(3) / name / "weights").write_text(name)
    recover(store)
    assert {path.name for path in store.trial_dir(3).iterdir()} == ({"best"} if kept else set())
    if kept:
        assert (store.trial_dir(3) / "best" / "weights").read_text() == kept


def test_a_method_s_folder_is_not_taken_for_one_that_is_replaced(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for method in ("small.new", "small.old", "small"):
        store.choice_dir(method).mkdir(parents=True)
    recover(store)
    assert all(store.choice_dir(method).is_dir() for method in ("small.new", "small.old", "small"))


def test_odd_events_and_readings_are_left_out(tmp_path: Path) -> None:
    store = Store(tmp_path)
    append_row(POINT, store.trial_dir(0))
    path = store.trial_dir(0) / "events.jsonl"
    whole = path.read_bytes()
    odd = b'[]\nnull\n7\n"x"\n{}\n{"type": "eval"}\n{"type": "train", "step": "x"}\n\xff\xfe\n\x00\x00\n'
    path.write_bytes(odd + whole + whole[:9])
    assert store.events(0) == [POINT]

    store.note_test_reading(2, [2])
    readings = tmp_path / "test_readings.jsonl"
    readings.write_bytes(readings.read_bytes() + b'{"trial": 2, "ch')
    assert store.test_readings() == 1
    assert store.note_test_reading(2, [2]) == 2
    readings.write_bytes(b"\x00\xff\n" + readings.read_bytes())
    assert store.test_readings() == 3  # nobody knows what the first line said


def test_the_end_of_a_trial_without_a_record_is_known(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.marks(3).state() is UnfinishedState.PUT_AWAY
    store.marks(3).begin()
    assert store.marks(3).state() is UnfinishedState.KILLED
    store.marks(3).stop_for_disk()
    assert store.marks(3).state() is UnfinishedState.DISK_FAILED
    store.write_trial(record(3))
    assert [path.name for path in store.trial_dir(3).iterdir()] == ["record.json"]


def test_a_disk_that_became_read_only_is_kept_in_mind_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "run")
    store.marks(3).begin()
    store.identity()

    def read_only(self: Path, _target: Path) -> Path:
        if self.name == "running":
            raise OSError(errno.EROFS, "Read-only file system")
        return self.rename(_target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", read_only)
        store.marks(3).stop_for_disk()
    assert store.marks(3).state() is UnfinishedState.DISK_FAILED
    store.write_trial(record(3))
    assert store.marks(3).state() is UnfinishedState.PUT_AWAY


def test_half_written_cache_files_are_deleted_after_a_day(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "features", tmp_path / "kept" / "study" / "snapshots"):
        folder.mkdir(parents=True, exist_ok=True)
        old, new = folder / "old.tmp", folder / "new.tmp"
        for file in (old, new):
            file.write_text("half")
        os.utime(old, (0, 0))
    clear_old(tmp_path)
    assert [file.name for file in tmp_path.rglob("*.tmp")] == ["new.tmp"] * 3
