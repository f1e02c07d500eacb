"""The checks of the kill tests find what they are to find."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from support.faults.invariants import broken
from support.faults.kills import planned
from support.faults.processes import Kind
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
    kills = planned(study, targets, seed=3, count=40)
    assert kills == planned(study, targets, seed=3, count=40) != planned(study, targets, seed=4, count=40)
    assert [kill.done for kill in kills] == sorted(kill.done for kill in kills)
    assert {kill.target for kill in kills} == set(targets)
    assert all(0 <= kill.done <= study.trainings and kill.delay > 0 for kill in kills)
