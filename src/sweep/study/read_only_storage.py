"""A study's storage for readers: nothing is written, whether the study runs or has ended."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Container, Sequence
from copy import copy, deepcopy
from pathlib import Path
from typing import Any, NoReturn, Protocol
from urllib.parse import quote

from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import URL, NullPool, make_url

from sweep.errors import UserError
from sweep.study.storage import STORAGE_ERRORS, as_template, engine_options, shown_address, unusable

_LONGEST_WAIT = 10.0  # seconds for a lock of SQLite
_READ_ONLY = "-c default_transaction_read_only=on"  # libpq: the server then refuses to write


class Labels(Protocol):
    """Attributes that a dashboard shows beside those that the storage holds."""

    def study_user_attributes(self) -> dict[str, Any]:
        """Return attributes of the study, shown before its own."""

    def study_attributes(self, trials: Sequence[FrozenTrial]) -> dict[str, Any]:
        """Return attributes of the study under keys that the dashboard knows."""

    def trial_attributes(self, trial: FrozenTrial) -> dict[str, Any]:
        """Return attributes of a trial, shown before its own."""


class RefusedError(RuntimeError):
    """Something was to be written to a storage that is read only."""


def _refused(*_: object, **__: object) -> NoReturn:
    raise RefusedError("the study is shown, and cannot be changed")


_refuse: Any = _refused  # in place of each method that writes


class ReadOnlyStorage(BaseStorage):
    """One study of a storage, with the labels of its trials. Each method that writes raises
    RefusedError."""

    def __init__(self, source: BaseStorage, study_name: str, labels: Labels) -> None:
        self._source, self.labels = source, labels
        self.study_id = source.get_study_id_from_name(study_name)

    def get_all_studies(self) -> list[FrozenStudy]:
        found = next(study for study in self._source.get_all_studies() if study._study_id == self.study_id)
        shown = copy(found)
        shown.user_attrs = self.get_study_user_attrs(self.study_id)
        shown.system_attrs = self.get_study_system_attrs(self.study_id)
        return [shown]

    def get_study_id_from_name(self, study_name: str) -> int:
        return self._source.get_study_id_from_name(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._source.get_study_name_from_id(study_id)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._source.get_study_directions(study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return {**self.labels.study_user_attributes(), **self._source.get_study_user_attrs(study_id)}

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        trials = self._source.get_all_trials(study_id, deepcopy=False)
        return {**self.labels.study_attributes(trials), **self._source.get_study_system_attrs(study_id)}

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self._labelled(self._source.get_trial(trial_id))

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        trials = self._source.get_all_trials(study_id, deepcopy=False, states=states)
        return [self._labelled(trial, whole=deepcopy) for trial in trials]

    def _labelled(self, trial: FrozenTrial, *, whole: bool = True) -> FrozenTrial:
        shown = deepcopy(trial) if whole else copy(trial)
        shown.user_attrs = {**self.labels.trial_attributes(trial), **trial.user_attrs}
        return shown

    def remove_session(self) -> None:
        self._source.remove_session()

    create_new_study = delete_study = set_study_user_attr = set_study_system_attr = _refuse
    create_new_trial = set_trial_param = set_trial_state_values = set_trial_intermediate_value = _refuse
    set_trial_user_attr = set_trial_system_attr = _refuse


def open_read_only(
    address: str, study_name: str, labels: Labels, *, in_use: Callable[[], bool] = lambda: False
) -> ReadOnlyStorage:
    """Return a study at an address. SQLite and PostgreSQL themselves refuse to write then.
    `in_use` returns whether the study runs.

    Raises UserError where the storage cannot be read or does not hold the study.
    """
    try:
        url = make_url(address)
        options = _sqlite(Path(url.database or ""), in_use) if url.get_backend_name() == "sqlite" else _server(url)
        source = RDBStorage(as_template(address), engine_kwargs=options, skip_table_creation=True)
        return ReadOnlyStorage(source, study_name, labels)
    except KeyError:
        rule = f"is {shown_address(address)}, which holds no study {study_name}"
        raise UserError.of("study.storage", rule) from None
    except STORAGE_ERRORS as error:
        raise unusable(address, error) from None


def _sqlite(file: Path, in_use: Callable[[], bool]) -> dict[str, Any]:
    """Return options by which each transaction opens the file anew.

    A database in use has a log beside it, which readers share. Where there is none and no study
    runs, SQLite would make a log to read it: `immutable` keeps the folder as it is. A connection
    that stays open would keep the study from merging its log at its end.
    """

    def connect() -> sqlite3.Connection:
        alone = not file.with_name(f"{file.name}-wal").exists() and _keeps_log(file) and not in_use()
        uri = f"file:{quote(str(file.absolute()))}?mode=ro{'&immutable=1' if alone else ''}"
        return sqlite3.connect(uri, uri=True, timeout=_LONGEST_WAIT, check_same_thread=False)

    return {"creator": connect, "poolclass": NullPool}


def _keeps_log(file: Path) -> bool:
    """Return whether the header of a database says that it is written by way of a log (WAL), by
    https://www.sqlite.org/fileformat.html."""
    try:
        with file.open("rb") as opened:
            return opened.read(20)[18:20] == b"\x02\x02"
    except OSError:
        return False  # SQLite says what is wrong


def _server(url: URL) -> dict[str, Any]:
    """Return options by which a PostgreSQL server refuses to write."""
    options = engine_options(url)
    if url.get_backend_name() == "postgresql":
        given = url.query.get("options", "")
        own = " ".join([given] if isinstance(given, str) else given)
        options["connect_args"] = options.get("connect_args", {}) | {"options": f"{own} {_READ_ONLY}".strip()}
    return options
