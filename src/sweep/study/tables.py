"""Optuna's tables in an SQLite file, which are created all at once."""

from __future__ import annotations

from collections import defaultdict

from optuna.storages._rdb.models import BaseModel
from sqlalchemy import URL, Connection, create_engine

_TABLES = BaseModel.metadata.tables


def create_tables(url: URL) -> None:
    """Create the tables and indexes that an SQLite file lacks, in one transaction.

    Optuna creates each by itself, and the driver commits each. Killed before the index that keeps
    the names of studies unique, a process leaves a file in which every start makes another study.
    A file that was left so gets its index, and loses studies that such a start made beside another
    one. Raises SQLAlchemyError, and ValueError where several studies of one name have trials.
    """
    engine = create_engine(url, isolation_level="AUTOCOMMIT")  # the driver then begins no transaction of its own
    try:
        with engine.connect() as connection:
            if _lacking(connection):
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                BaseModel.metadata.create_all(connection)
                _drop_empty_doubles(connection)
                for table in _TABLES.values():
                    for index in table.indexes:
                        index.create(connection, checkfirst=True)
                connection.exec_driver_sql("COMMIT")
    finally:
        engine.dispose()


def _lacking(connection: Connection) -> bool:
    there = set(connection.exec_driver_sql("SELECT name FROM sqlite_master").scalars())
    indexes = [index.name for one in _TABLES.values() for index in one.indexes]
    return not there.issuperset([*_TABLES, *indexes])


def _drop_empty_doubles(connection: Connection) -> None:
    """Delete studies without trials that have the name of another study. Of several without trials
    the first is kept."""
    counted = (
        "SELECT study_name, study_id, (SELECT COUNT(*) FROM trials WHERE trials.study_id = studies.study_id) "
        "FROM studies ORDER BY study_id"
    )
    trials: defaultdict[str, dict[int, int]] = defaultdict(dict)
    for name, study_id, count in connection.exec_driver_sql(counted):
        trials[name][study_id] = count
    for name, counts in trials.items():
        kept = [study_id for study_id, count in counts.items() if count] or [min(counts)]
        if len(kept) > 1:
            raise ValueError(f"it has {len(kept)} studies {name} with trials; use another file, and another run_dir")
        for study_id in counts.keys() - kept:
            _drop(connection, study_id)


def _drop(connection: Connection, study_id: int) -> None:
    """Delete a study without trials."""
    for table in reversed(BaseModel.metadata.sorted_tables):
        if "study_id" in table.columns:
            connection.execute(table.delete().where(table.c.study_id == study_id))
