"""Optuna's storage at the address of a study: how it is opened, and the messages where it cannot
be used."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import optuna
from optuna.storages import RDBStorage
from sqlalchemy import URL, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from sweep.config.schema import StudyConfig
from sweep.config.secrets import MASK, scrub
from sweep.errors import KEPT, UserError, first_line, to_mend
from sweep.records.store import Store
from sweep.study.tables import create_tables

# Errors of an address, of its server, and of tables that another version of Optuna made.
STORAGE_ERRORS = (SQLAlchemyError, ImportError, RuntimeError, ValueError, optuna.exceptions.OptunaError)

_SECRET = re.compile(r"(?i)pass(?!file)|pwd|secret")  # in names of options, misspelled ones too
_TRIES = 5  # at creating the tables, while other studies create them too
_POSTGRESQL = "postgresql+psycopg://USER@HOST/DATABASE"
_INSTALL = "pip install 'sweep[postgresql]'"
_WAYS = f"type sqlite:///FILE, {_POSTGRESQL} ({_INSTALL}), or null for SQLite in the run directory"
_LIBPQ = ("psycopg", "psycopg2")  # drivers that take its options
_EXIST_ALREADY = ("42P07", "42710", "23505")  # PostgreSQL's codes, whatever language it speaks
# Options of libpq, in seconds and milliseconds: without them a server whose machine is gone keeps
# a study waiting for minutes or for ever.
_NETWORK = {
    "connect_timeout": 10, "keepalives": 1, "keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}  # fmt: skip


def open_storage(address: str) -> RDBStorage:
    """Return the storage at an address; SQLite with a write-ahead log.

    A trial commits at its start, each evaluation and its end. Without the log, each commit waits
    for the disk several times, which takes as long as training a small head. Every commit still
    reaches the disk, so that the study and the records agree after a crash. A connection to a
    server is tried before it is used: one that the server closed in the meantime is replaced.

    Raises one of `STORAGE_ERRORS`.
    """
    url = make_url(address)
    if url.get_backend_name() == "sqlite":
        create_tables(url)
    storage = _created(address, engine_options(url))
    if url.get_backend_name() == "sqlite":

        @event.listens_for(storage.engine, "connect")
        def _(connection: Any, _record: object) -> None:
            connection.execute("PRAGMA journal_mode = WAL")

        storage.engine.dispose()  # closes the connection that was made without the log
    return storage


def _created(address: str, options: dict[str, Any]) -> RDBStorage:
    """Return the storage, with its tables.

    Two processes that create the tables in one moment get in each other's way: the later one tries
    again.
    """
    template = as_template(address)
    for _ in range(_TRIES - 1):
        try:
            return RDBStorage(template, engine_kwargs=dict(options))
        except SQLAlchemyError as error:
            if not isinstance(error, IntegrityError) and not _exists_already(error):
                raise
    return RDBStorage(template, engine_kwargs=dict(options))


def as_template(address: str) -> str:
    """Return the address as `RDBStorage` takes it: as a template, in which a brace is doubled."""
    return address.replace("{", "{{").replace("}", "}}")


def _exists_already(error: SQLAlchemyError) -> bool:
    code = getattr(getattr(error, "orig", None), "sqlstate", None)
    return code in _EXIST_ALREADY or "already exists" in str(error)


def engine_options(url: URL) -> dict[str, Any]:
    """Return the options by which SQLAlchemy connects to a database."""
    if url.get_backend_name() == "sqlite":
        return {}
    known = {name: value for name, value in _NETWORK.items() if name not in url.query}
    return {"pool_pre_ping": True} | ({"connect_args": known} if url.get_driver_name() in _LIBPQ else {})


def check_storage(address: str) -> None:
    """Check that a storage can be reached, without writing: for SQLite only its folder is looked
    at. Raises UserError."""
    try:
        url = make_url(address)
        if url.get_backend_name() == "sqlite":
            folder = Path(url.database or "").absolute().parent
            if not folder.is_dir():
                raise ValueError(f"there is no folder {folder}")
            return
        engine = create_engine(url, **engine_options(url))
        try:
            engine.connect().close()
        finally:
            engine.dispose()
    except STORAGE_ERRORS as error:
        raise unusable(address, error) from None


def own_address(store: Store) -> str:
    """Return the address of SQLite in the run directory; its path may have any characters."""
    return URL.create("sqlite", database=str(own_file(store))).render_as_string(hide_password=False)


def own_file(store: Store) -> Path:
    """Return the file of SQLite in the run directory."""
    return store.root / "study.db"


def unusable(address: str, error: BaseException) -> UserError:
    """Return the message for a storage that cannot be used, without the address's password."""
    if (url := _parsed(address)) is None:  # the error may quote a part of the password
        rule = f"which is no SQLAlchemy address; {_WAYS}; in a user and a password @ is written %40, : %3A and / %2F"
        return UserError.of("study.storage", f"is {shown_address(address)}, {rule}")
    if isinstance(error, NoSuchModuleError):
        rule = (
            f"is {shown_address(address)}, but {url.drivername} is no kind of database that SQLAlchemy knows; {_WAYS}"
        )
        return UserError.of("study.storage", rule)
    hint = ""
    if isinstance(error, ImportError):
        needed = f"PostgreSQL needs {_INSTALL} and an address {_POSTGRESQL}"
        hint = f". {needed if url.get_backend_name() == 'postgresql' else 'Install its driver'}"
    rule = f"is {shown_address(address)}, but cannot be used: {reason(error, address)}{hint}"
    return UserError.of("study.storage", scrub(rule))


def shown_address(address: str) -> str:
    """Return an address without its password."""
    return scrub(_without_password(address, address))


def shown_storage(config: StudyConfig, store: Store) -> str:
    """Return the name of a study's storage in messages."""
    return shown_address(config.storage) if config.storage else f"SQLite in {own_file(store)}"


def reason(error: BaseException, address: str) -> str:
    """Return the first line of what the driver of a database said, without the address's
    password."""
    found: BaseException = error
    while (cause := found.__cause__) is not None and not isinstance(found, DBAPIError):
        found = cause
    said = found.orig if isinstance(found, DBAPIError) and found.orig is not None else found
    return scrub(_without_password(first_line(said), address))


def _without_password(text: str, address: str) -> str:
    """Return `text` without the password of `address`, which a driver may repeat in its words."""
    url = _parsed(address)
    hidden = [] if url is None else [url.password, *(url.query[name] for name in url.query if _SECRET.search(name))]
    for secret in hidden:
        if isinstance(secret, str) and secret:
            text = text.replace(secret, MASK).replace(quote(secret, safe=""), MASK)
    return text


def _parsed(address: str) -> URL | None:
    """Return the parts of an address; None for one that cannot be read."""
    try:
        return make_url(address)
    except (ArgumentError, ValueError):
        return None


@contextmanager
def storage_errors(config: StudyConfig, store: Store) -> Iterator[None]:
    """Turn an error of the storage within the context, such as a full disk or a lost server, into
    UserError."""
    name = shown_storage(config, store)
    try:
        yield
    except optuna.exceptions.StorageInternalError as error:
        failure = reason(error, config.storage or "")
        rule = f"{name} failed: {failure}. {to_mend(failure)}{KEPT}"
        raise UserError.of("study.storage", rule) from error
    except optuna.exceptions.UpdateFinishedTrialError as error:
        rule = f"{name} holds a trial that another process has ended: {first_line(error)}"
        way_out = "One run directory at a time may use a study; name a new study.study_name"
        raise UserError.of("study.storage", f"{rule}. {way_out}") from error


def without_mask(address: str) -> str:
    """Return a recorded address without the mask in place of its password.

    The driver then takes the password of PGPASSWORD or of a password file.
    """
    url = _parsed(address)
    if url is None or url.password != MASK:
        return address
    return url._replace(password=None).render_as_string(hide_password=False)
