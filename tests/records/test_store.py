from __future__ import annotations

import errno
import math
from dataclasses import replace
from pathlib import Path

import pytest

from support.small_files import small_files
from sweep.errors import UserError
from sweep.records.cost import Cost
from sweep.records.events import append_row
from sweep.records.final import Repeat, RetrainRecord
from sweep.records.store import Store
from sweep.records.trial import Completed, EvalPoint, Failed, FailureReason, Outcome, Pruned, Step, TrialRecord

POINT = EvalPoint(1, 10, 1.0, {"eval/accuracy": 0.5, "eval/loss": math.inf})


@pytest.mark.parametrize(
    "outcome",
    [
        Completed(POINT, (POINT,), Cost(seconds=1.5)),
        Pruned((POINT,), Cost()),
        Failed(FailureReason.OUT_OF_MEMORY, "at step 3", (), Cost()),
    ],
)
def test_a_record_is_read_as_it_was_written(tmp_path: Path, outcome: Outcome) -> None:
    record = TrialRecord(
        3, {"adapter": "lora", "adapter.r": 8, "optimizer.learning_rate": 1e-5}, outcome, "cmd", 10, "a", "b"
    )
    Store(tmp_path).write_trial(record)
    assert Store(tmp_path).trials() == [record]
    assert list(tmp_path.rglob("*.tmp")) == []


def test_trials_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    store, numbers = Store(tmp_path), (2, 999, 1001, 9999, 10_000)
    for number in numbers:
        record = TrialRecord(number, {}, Pruned((POINT,), Cost()), "cmd", 10, "a", "b")
        store.write_trial(record)
        store.write_pause(replace(record, number=number + 10_000))
    assert [record.number for record in store.trials()] == list(numbers)
    assert [record.number for record in store.paused_trials()] == [number + 10_000 for number in numbers]


def test_events_come_back_in_order_and_a_cut_off_line_is_left_out(tmp_path: Path) -> None:
    store, step = Store(tmp_path), Step(5, 10, 0.5, {"train/loss": 0.7})
    append_row(step, store.trial_dir(0))
    append_row(POINT, store.trial_dir(0))
    with (store.trial_dir(0) / "events.jsonl").open("a") as file:
        file.write('{"type": "train", "st')
    assert store.events(0) == [step, POINT]


def test_an_absent_record_is_none(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert (store.lock(), store.final(), store.trials(), store.events(0)) == (None, None, [], [])


def test_a_repeat_is_found_by_its_trial_and_index(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made, failed = Repeat(3, 17, POINT, Cost(seconds=1.0)), Repeat(3, 18, None, Cost(), failure="diverged: nan")
    store.write_repeat(made, 1)
    store.write_repeat(failed, 2)
    assert [store.repeat(3, index) for index in (1, 2, 3)] == [made, failed, None]
    assert (tmp_path / "confirm" / "0003-1.json").exists()


def test_models_chosen_together_share_a_reading_of_the_test_split(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.test_readings() == 0
    assert [store.note_test_reading(number, [7, 2, 5]) for number in (2, 5, 7)] == [1, 1, 1]
    # Another choice, of which one is new; then the same model once more, since its record was lost.
    assert store.note_test_reading(9, [2, 5, 9]) == 2
    assert store.note_test_reading(9, [2, 5, 9]) == 3
    assert store.test_readings() == 3


def test_a_method_s_folder_is_one_folder_whatever_its_name(tmp_path: Path) -> None:
    store = Store(tmp_path)
    long = "Is this {text} good? " * 40
    names = ["lora", "org/model", "../x", "a b", 8, None, "..", ".", "", long, f"{long}!", f"{long}.new"]
    folders = [store.choice_dir(name) for name in names]
    assert {folder.parent for folder in folders} == {tmp_path / "methods"} and not {".", "..", ""} & {
        folder.name for folder in folders
    }
    assert len(set(folders)) == len(names)
    assert folders[0].name == "lora"
    assert all(len(folder.name) < 250 for folder in folders)


def test_a_run_directory_has_one_holder(tmp_path: Path) -> None:
    with Store(tmp_path).held(), pytest.raises(UserError, match="in use by another"), Store(tmp_path).held():
        pass
    with Store(tmp_path).held():
        pass


def test_a_run_directory_that_cannot_be_made_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written to"), Store(tmp_path / "file" / "run").held():
        pass


def test_a_run_directory_on_a_full_disk_is_a_fault_before_it_is_made(tmp_path: Path) -> None:
    root = tmp_path / "runs" / "one"
    assert Store(root).place_faults() == [] and not root.parent.exists()
    with small_files(0):  # as on a full disk, a file is made and takes nothing
        (fault,) = Store(root).place_faults()
    rule = f"is {root}, but cannot be written to: File too large. Raise the limit of a file's size (ulimit -f)"
    assert str(fault) == f"run_dir: {rule}"


def test_a_file_system_without_locks_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(_file: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", flock)
    rule = r"grants no lock \(No locks available\): name a run_dir on another disk"
    with pytest.raises(UserError, match=rule), Store(tmp_path).held():
        pass


def test_a_retraining_is_kept_whole_and_replaced_whole(tmp_path: Path) -> None:
    store, step = Store(tmp_path), Step(5, 10, 0.5, {"train/loss": 0.7})
    assert store.retraining(3) is None
    made = RetrainRecord(3, (POINT,), POINT, (POINT,), Cost(), (0.2, 0.5), {"eval/accuracy": 0.6})
    for events in ([step, POINT], [POINT]):
        store.write_retraining(made, events)
        assert store.retraining(3) == made and store.final_events(store.retrain_dir(3)) == events
