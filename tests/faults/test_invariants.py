"""The checks of the kill tests find what they are to find."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from support.faults.invariants import broken
from support.faults.journal import Journal, Place, Sent, lines, table
from support.faults.kills import Moment, planned
from support.faults.processes import Kind
from support.faults.stages import Stage, stage
from support.faults.study import Study
from support.studies import PLAIN, searched


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    searched(folder, *PLAIN, "study.sampler=random", "study.n_trials=2")
    return folder / "run"


def lose_row(run: Path) -> None:
    path = run / "trials" / "0001" / "events.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def double_row(run: Path) -> None:
    path = run / "trials" / "0000" / "events.jsonl"
    path.write_text(path.read_text() + path.read_text().splitlines(keepends=True)[-1])


def change_score(run: Path) -> None:
    path = run / "trials" / "0000" / "record.json"
    record = json.loads(path.read_text())
    record["outcome"]["best"]["metrics"]["eval/accuracy"] += 1e-9
    path.write_text(json.dumps(record))


def cut_record(run: Path) -> None:
    path = run / "trials" / "0001" / "record.json"
    path.write_text(path.read_text()[:100])


def leave_file(run: Path) -> None:
    (run / "trials" / "0001" / "record.json.tmp").write_text("")


def leave_snapshot(run: Path) -> None:
    (run / "snapshots").mkdir(exist_ok=True)
    (run / "snapshots" / "trial-0001.safetensors").write_text("")


def ask_once_more(run: Path) -> None:
    optuna.load_study(study_name="quickstart", storage=f"sqlite:///{run / 'study.db'}").ask()


def lose_record(run: Path) -> None:
    (run / "trials" / "0001" / "record.json").unlink()


def test_an_equal_run_directory_breaks_nothing(whole: Path, tmp_path: Path) -> None:
    assert broken(whole, shutil.copytree(whole, tmp_path / "run")) == []


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lose_row, "trial 1: of 6 rows, lost"),
        (double_row, "doubled [('EvalPoint'"),
        (change_score, "Optuna has the score"),
        (cut_record, "a record cannot be read"),
        (leave_file, "trials/0001/record.json.tmp is left"),
        (leave_snapshot, "snapshots/trial-0001.safetensors is left"),
        (ask_once_more, "trials [2] are only in one of"),
        (lose_record, "the trials are [(0, 'completed')]"),
    ],
    ids=lambda one: getattr(one, "__name__", None),
)
def test_each_harm_is_found(whole: Path, tmp_path: Path, harm: Callable[[Path], None], sentence: str) -> None:
    run = shutil.copytree(whole, tmp_path / "run")
    harm(run)
    found = broken(whole, run)
    assert any(sentence in line for line in found), found


def test_a_seed_plans_the_same_kills_in_the_order_of_their_moments() -> None:
    study, targets = Study(finals=True), [Kind.COORDINATOR, Kind.WORKER]
    kills = planned(study, targets, seed=3, count=80)
    assert kills == planned(study, targets, seed=3, count=80) != planned(study, targets, seed=4, count=80)
    assert sum(kill.number is signal.SIGKILL for kill in kills) == 80
    assert {kill.target for kill in kills} == set(targets)
    assert {kill.moment for kill in kills} == set(Moment)
    done = [kill.done for kill in kills if kill.moment is Moment.TRAININGS]
    assert done == sorted(done) and done[0] >= 0 and done[-1] <= study.trainings
    starts = [index for index, kill in enumerate(kills) if kill.moment is Moment.START]
    assert all(index == 0 or kills[index - 1].ends_program for index in starts)
    assert all(kill.target is not Kind.WORKER for kill in kills if kill.moment is Moment.START)


def test_the_stage_of_a_run_directory(tmp_path: Path) -> None:
    def found(*, opened: bool = True, readings: int = 0) -> Stage:
        return stage(tmp_path, opened=opened, readings=readings)

    assert found(opened=False) is Stage.START
    assert found() is Stage.SEARCH
    for name, expected in (("confirm-0001-1", Stage.CONFIRMATION), ("retrain-0001", Stage.RETRAINING),
                           ("refit-0001", Stage.REFIT)):  # fmt: skip
        (tmp_path / "unfinished" / name).mkdir(parents=True)
        assert found() is expected
    (tmp_path / "test_readings.jsonl").write_text("{}\n")
    assert found() is Stage.READING and found(readings=1) is Stage.REFIT
    (tmp_path / "final").mkdir()
    (tmp_path / "final" / "record.json").write_text("{}\n")
    assert found() is Stage.END


def test_the_journal_counts_kills_by_target_and_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULTS_LOG", str(tmp_path / "log"))
    place = Place(3, "lora", "mock", "local", "SQLite")
    first, other = Journal(place), Journal(replace(place, launcher="inline"))
    for target, number, at in (("worker", "SIGKILL", Stage.SEARCH), ("worker", "SIGKILL", Stage.SEARCH),
                               ("coordinator", "SIGTERM", Stage.END)):  # fmt: skip
        first.write_sent(Sent("12:00:00", target, number, str(at), "…"))
    other.write_sent(Sent("12:00:02", "coordinator", "SIGKILL", str(Stage.READING), "…"))
    first.write_end(starts=2, seconds=9.0, faults=["a process is left"])
    other.write_end(starts=1, seconds=1.0, faults=[])
    said = [line.split() for line in table(lines(tmp_path / "log")).splitlines()]
    assert said[1:4] == [["coordinator", "test", "reading", "1", "1"], ["worker", "search", "2", "2"],
                         ["SIGKILL", "1", "2", "3"]]  # fmt: skip
    assert " ".join(said[4]) == "2 series with 3 starts, 1 other signals; in 1 series something did not hold"
