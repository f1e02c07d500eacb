from __future__ import annotations

import math
from pathlib import Path

import pytest

from sweep.errors import UserError
from sweep.records import Completed, Cost, EvalPoint, Failed, FailureReason, Outcome, Pruned, Step, TrialRecord
from sweep.store import Store

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


def test_events_come_back_in_order_and_a_cut_off_line_is_left_out(tmp_path: Path) -> None:
    store, step = Store(tmp_path), Step(5, 10, 0.5, {"train/loss": 0.7})
    store.append_event(0, step)
    store.append_event(0, POINT)
    with (store.trial_dir(0) / "events.jsonl").open("a") as file:
        file.write('{"type": "train", "st')
    assert store.events(0) == [step, POINT]


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert (store.lock(), store.final(), store.trials(), store.events(0)) == (None, None, [], [])


def test_a_run_directory_has_one_holder(tmp_path: Path) -> None:
    with Store(tmp_path).held(), pytest.raises(UserError, match="in use by another"), Store(tmp_path).held():
        pass
    with Store(tmp_path).held():
        pass


def test_a_run_directory_that_cannot_be_made_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written to"), Store(tmp_path / "file" / "run").held():
        pass
