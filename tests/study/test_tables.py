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
