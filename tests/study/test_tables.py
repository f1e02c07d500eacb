"""Optuna's tables in an SQLite file, after kills."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import optuna
import pytest
from sqlalchemy import Engine, event, make_url

from sweep.study.storage import open_storage
from sweep.study.tables import create_tables

NAMES = "ix_studies_study_name"


class _KilledError(BaseException):
    """Stands for the end of the process."""


def names_in(file: Path) -> set[str]:
    with sqlite3.connect(file) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}


@pytest.mark.parametrize("before", ["CREATE TABLE trials", f"CREATE UNIQUE INDEX {NAMES}", "COMMIT"])
def test_a_process_that_is_killed_creates_no_table(before: str, tmp_path: Path) -> None:
    file = tmp_path / "study.db"

    def end(_: Any, __: Any, statement: str, *___: Any) -> None:
        if statement.strip().startswith(before):
            raise _KilledError

    event.listen(Engine, "before_cursor_execute", end)
    try:
        with pytest.raises(_KilledError):
            create_tables(make_url(f"sqlite:///{file}"))
    finally:
        event.remove(Engine, "before_cursor_execute", end)
    assert names_in(file) == set()
    create_tables(make_url(f"sqlite:///{file}"))
    assert {NAMES, "trials", "version_info"} <= names_in(file)


def test_a_file_without_the_index_of_names_gets_it(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'study.db'}"
    open_storage(address).engine.dispose()
    with sqlite3.connect(tmp_path / "study.db") as connection:
        connection.execute(f"DROP INDEX {NAMES}")
    for _ in range(2):
        storage = open_storage(address)
        optuna.create_study(study_name="one", storage=storage, load_if_exists=True)
        assert len(storage.get_all_studies()) == 1
        storage.engine.dispose()


def left_without_index(file: Path, *trials: int) -> str:
    """Write a file of several studies of one name, as starts without the index make them. Return
    its address."""
    address = f"sqlite:///{file}"
    open_storage(address).engine.dispose()
    with sqlite3.connect(file) as connection:
        connection.execute(f"DROP INDEX {NAMES}")
        for study, count in enumerate(trials, 1):
            connection.execute("INSERT INTO studies (study_id, study_name) VALUES (?, 'one')", (study,))
            connection.execute(
                "INSERT INTO study_directions (direction, study_id, objective) VALUES ('MAXIMIZE', ?, 0)", (study,)
            )
            for number in range(count):
                connection.execute(
                    "INSERT INTO trials (number, study_id, state) VALUES (?, ?, 'RUNNING')", (number, study)
                )
    return address


@pytest.mark.parametrize(("trials", "kept"), [((2, 0, 0), 1), ((0, 3), 2), ((0, 0), 1)])
def test_of_studies_of_one_name_the_one_with_trials_stays(tmp_path: Path, trials: tuple[int, ...], kept: int) -> None:
    storage = open_storage(left_without_index(tmp_path / "study.db", *trials))
    study = optuna.create_study(study_name="one", storage=storage, direction="maximize", load_if_exists=True)
    assert [one._study_id for one in storage.get_all_studies()] == [study._study_id] == [kept]
    assert len(study.trials) == max(trials)
    storage.engine.dispose()
    with sqlite3.connect(tmp_path / "study.db") as connection:
        assert connection.execute("SELECT study_id FROM study_directions").fetchall() == [(kept,)]


def test_two_studies_of_one_name_with_trials_are_refused_at_once_and_kept(tmp_path: Path) -> None:
    address = left_without_index(tmp_path / "study.db", 1, 2)
    with pytest.raises(ValueError, match="it has 2 studies one with trials; use another file, and another run_dir"):
        open_storage(address)
    with sqlite3.connect(tmp_path / "study.db") as connection:
        assert connection.execute("SELECT study_id FROM studies").fetchall() == [(1,), (2,)]
