"""Storages and disks that fail during a search, and run directories that share a storage."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from support.studies import PLAIN, Undisturbed, points, searched
from support.toys import ToyEngine, session
from sweep.errors import UserError
from sweep.records.recovery import recover
from sweep.records.store import Store
from sweep.records.trial import TrialPlan
from sweep.study.optuna_study import OptunaStudy
from sweep.study.owner import known_experiment
from sweep.study.search import search


def test_a_study_of_another_experiment_in_the_storage_is_refused(tmp_path: Path) -> None:
    storage = f"study.storage=sqlite:///{tmp_path / 'shared.db'}"
    searched(tmp_path / "a", storage, "study.n_trials=1", *PLAIN)
    with pytest.raises(UserError, match="not the one in"):
        searched(tmp_path / "b", storage, "study.n_trials=1", *PLAIN)
    (tmp_path / "shared.db").unlink()
    with pytest.raises(UserError, match="not the one in"):
        searched(tmp_path / "a", storage, "study.n_trials=1", *PLAIN)


def test_a_storage_that_fails_during_the_search_is_a_user_error(tmp_path: Path) -> None:
    """A table is missing, which stands for a server that is down or a full disk. With the table
    back the study goes on."""
    database = tmp_path / "run" / "study.db"

    def rename(old: str, new: str) -> None:
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute(f"ALTER TABLE {old} RENAME TO {new}")

    def lose(trial: TrialPlan, epoch: int) -> None:
        if (trial.number, epoch) == (1, 2):
            rename("trial_intermediate_values", "gone")

    with pytest.raises(UserError, match=r"study.storage: SQLite in .*/run/study.db failed: .*no such table"):
        searched(tmp_path, "study.n_trials=3", *PLAIN, engine=ToyEngine(before=lose))
    rename("gone", "trial_intermediate_values")
    records = searched(tmp_path, "study.n_trials=3", *PLAIN)
    assert [(record.number, record.state) for record in records] == [(number, "completed") for number in range(3)]


def test_a_locked_database_is_waited_for(
    tmp_path: Path, undisturbed: Undisturbed, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another program holds the lock for longer than SQLite itself waits."""
    database = tmp_path / "shared.db"

    def lock(trial: TrialPlan, epoch: int) -> None:
        if (trial.number, epoch) == (1, 2):
            holder = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
            holder.execute("BEGIN IMMEDIATE")
            threading.Timer(1.0, holder.close).start()

    options = ("study.n_trials=2", "study.sampler=random", *PLAIN)
    whole = undisturbed(*options).records
    storage = f"study.storage='sqlite:///{database}?timeout=0.05'"
    records = searched(tmp_path / "locked", *options, storage, engine=ToyEngine(before=lock))
    assert points(records) == points(whole)
    said = capsys.readouterr().err
    assert said.count("does not answer: database is locked") == said.count("the storage answers again") == 1


def test_the_first_error_is_raised_though_the_storage_fails_too(tmp_path: Path) -> None:
    def lose(trial: TrialPlan, _epoch: int) -> None:
        with closing(sqlite3.connect(tmp_path / "run" / "study.db")) as connection, connection:
            connection.execute("ALTER TABLE trials RENAME TO gone")
        raise OSError(errno.ENOSPC, "No space left on device", "somewhere")

    with pytest.raises(OSError, match="somewhere"):
        searched(tmp_path, "study.n_trials=3", *PLAIN, engine=ToyEngine(before=lose))


class FullDisk:
    """A disk that is full from trial `number`'s third epoch on, until there is space again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        self.number, self.full = number, False
        real = os.fsync

        def fsync(handle: int) -> None:
            if self.full:
                raise OSError(errno.ENOSPC, "No space left on device")
            real(handle)

        monkeypatch.setattr(os, "fsync", fsync)

    def __call__(self, trial: TrialPlan, epoch: int) -> None:
        self.full = self.full or (trial.number, epoch) == (self.number, 3)


@pytest.mark.parametrize("slots", [1, 3])
def test_a_full_disk_says_nothing_about_a_point(
    tmp_path: Path, undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch, slots: int
) -> None:
    """The disk is full four times when the same trial is to be recorded, which then goes on each
    time."""
    options = ("study.n_trials=3", *PLAIN)
    whole = undisturbed(*options).records
    disk = FullDisk(monkeypatch, slots - 1)
    for _ in range(4):
        disk.full = False
        with pytest.raises(OSError, match="No space left"):
            searched(tmp_path, *options, engine=ToyEngine(before=disk, slots=slots))
    disk.full = False
    disk.number = -1
    records = searched(tmp_path, *options)
    assert [record.state for record in records] == ["completed"] * 3
    assert points(records) == points(whole)


def test_a_damaged_record_is_made_again_from_the_storage_and_the_events(tmp_path: Path) -> None:
    options = ("study.n_trials=4", "study.pruner=median", "trainer.eval_strategy=epoch")
    whole = searched(tmp_path, *options)
    with session(tmp_path, *options) as opened:
        for record in whole[:3]:
            (opened.store.trial_dir(record.number) / "record.json").write_text("")
        assert len(recover(opened.store)) == 3
    again = searched(tmp_path, *options)
    for record, made in zip(whole, again, strict=True):
        assert (made.number, made.params, made.state, made.command) == (
            record.number, record.params, record.state, record.command
        )  # fmt: skip
        assert made.outcome.evals == record.outcome.evals
        assert made.best == record.best


def test_two_run_directories_cannot_share_a_study_at_the_same_time(tmp_path: Path) -> None:
    storage = f"study.storage=sqlite:///{tmp_path / 'shared.db'}"
    with session(tmp_path / "a", storage, *PLAIN) as first:
        OptunaStudy.open(first.plan.config.study, first.plan.space, first.store).close()
        with pytest.raises(UserError, match="belongs to the run directory .*/a/run"):
            searched(tmp_path / "b", storage, "study.n_trials=1", *PLAIN)
        assert len(search(first)) == 6
    (tmp_path / "a").rename(tmp_path / "moved")
    assert len(searched(tmp_path / "moved", storage, "study.n_trials=7", *PLAIN)) == 7


def test_a_run_directory_that_is_gone_and_has_left_nothing_keeps_no_study(tmp_path: Path) -> None:
    storage = f"study.storage=sqlite:///{tmp_path / 'shared.db'}"
    with session(tmp_path / "a", storage, *PLAIN) as first:
        OptunaStudy.open(first.plan.config.study, first.plan.space, first.store).close()
    shutil.rmtree(tmp_path / "a")
    assert len(searched(tmp_path / "b", storage, "study.n_trials=1", *PLAIN)) == 1


def test_any_character_of_a_path_may_be_in_the_run_directory(tmp_path: Path) -> None:
    with session(tmp_path, *PLAIN) as opened:
        for name in ("a?b", "a#b", "a%41b", "a{b}c", "a b&c=d;e", "a[b]"):
            store = Store(tmp_path / name)
            store.root.mkdir()
            optuna_study = OptunaStudy.open(opened.plan.config.study, opened.plan.space, store)
            assert optuna_study.ask()[0].number == 0
            optuna_study.close()
            assert (store.root / "study.db").exists()
            assert known_experiment(opened.plan.config.study, store) == ""
    names = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
    assert names == {"a?b", "a#b", "a%41b", "a{b}c", "a b&c=d;e", "a[b]", "run"}
