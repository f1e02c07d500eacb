"""Optuna's tables in an SQLite file, which are created all at once."""

from __future__ import annotations

from optuna.storages._rdb.models import BaseModel
from sqlalchemy import URL, Connection, create_engine


def create_tables(url: URL) -> None:
    """Create the tables and indexes that an SQLite file lacks, in one transaction.

    Optuna creates each by itself, and the driver commits each. Killed before the index that keeps
    the names of studies unique, a process leaves a file in which every start makes another study.
    A file that was left so gets its index. Raises SQLAlchemyError.
    """
    engine = create_engine(url, isolation_level="AUTOCOMMIT")  # the driver then begins no transaction of its own
    try:
        with engine.connect() as connection:
            if _lacking(connection):
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                BaseModel.metadata.create_all(connection)
                for table in BaseModel.metadata.tables.values():
                    for index in table.indexes:
                        index.create(connection, checkfirst=True)
                connection.exec_driver_sql("COMMIT")
    finally:
        engine.dispose()


def _lacking(connection: Connection) -> bool:
    there = set(connection.exec_driver_sql("SELECT name FROM sqlite_master").scalars())
    tables = BaseModel.metadata.tables.values()
    return not there.issuperset(
        [*(one.name for one in tables), *(index.name for one in tables for index in one.indexes)]
    )
