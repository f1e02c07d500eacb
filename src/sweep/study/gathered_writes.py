"""Writes to running trials that go to the database together."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import TrialState
from sqlalchemy import Connection, select

# Optuna's tables: its classes have no types, and statements on them take several times as long.
STUDIES, TRIALS = models.StudyModel.__table__, models.TrialModel.__table__
USER, SYSTEM = models.TrialUserAttributeModel.__table__, models.TrialSystemAttributeModel.__table__
_PARAMS, _VALUES = models.TrialParamModel.__table__, models.TrialValueModel.__table__
_SCORES = models.TrialIntermediateValueModel.__table__
_NAMES = {_PARAMS: "param_name", USER: "key", SYSTEM: "key", _SCORES: "step", _VALUES: "objective"}

_Key = tuple[Any, int, str | int]  # a table, the id of a trial, and the name or step of a value


@dataclass(slots=True)
class GatheredWrites:
    """Values of trials, and their ends, that are still to be written.

    Optuna asks the database for the trial and its state before it writes each value, in a session
    of its own. A trial begins with about ten values and ends with as many.
    """

    backend: RDBStorage
    _new: dict[_Key, dict[str, Any]] = field(default_factory=dict)
    _replaced: dict[_Key, dict[str, Any]] = field(default_factory=dict)
    _ended: dict[int, dict[str, Any]] = field(default_factory=dict)

    def param(self, trial_id: int, name: str, internal: float, distribution: BaseDistribution) -> None:
        """Gather a parameter, which the trial does not have yet."""
        value = {"param_value": internal, "distribution_json": distribution_to_json(distribution)}
        self._gather((_PARAMS, trial_id, name), value)

    def attribute(self, table: Any, trial_id: int, key: str, value: str, *, known: bool) -> None:
        """Gather an attribute as JSON. `known` says that the trial has one of this key."""
        self._gather((table, trial_id, key), {"value_json": value}, known=known)

    def score(self, trial_id: int, step: int, score: float, *, known: bool) -> None:
        """Gather an intermediate value. `known` says that the trial has one of this step."""
        stored, kind = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr(score)
        value = {"intermediate_value": stored, "intermediate_value_type": kind}
        self._gather((_SCORES, trial_id, step), value, known=known)

    def end(self, trial_id: int, state: TrialState, values: Sequence[float], at: datetime) -> None:
        """Gather the end of a trial, at a local time, with its final values."""
        for objective, value in enumerate(values):
            stored, kind = models.TrialValueModel.value_to_stored_repr(value)
            self._gather((_VALUES, trial_id, objective), {"value": stored, "value_type": kind})
        self._ended[trial_id] = {"state": state, "datetime_complete": in_utc(at)}

    def _gather(self, place: _Key, value: dict[str, Any], *, known: bool = False) -> None:
        if known and place not in self._new:
            self._replaced[place] = value
        else:
            table, trial_id, name = place
            self._new[place] = {"trial_id": trial_id, _NAMES[table]: name, **value}

    def clear(self) -> None:
        """Forget what was gathered."""
        for gathered in (self._new, self._replaced, self._ended):
            gathered.clear()

    def write(self) -> None:
        """Write what was gathered. Raises UpdateFinishedTrialError where a trial has ended."""
        if not (self._new or self._replaced or self._ended):
            return
        with _create_scoped_session(self.backend.scoped_session) as session:
            self._write(session.connection())
        self.clear()

    def _write(self, connection: Connection) -> None:
        changed = {trial_id for _, trial_id, _ in (*self._new, *self._replaced)}
        self._check(connection, changed | self._ended.keys())
        rows: defaultdict[Any, list[dict[str, Any]]] = defaultdict(list)
        for (table, _, _), row in self._new.items():
            rows[table].append(row)
        for table, new in rows.items():
            connection.execute(table.insert(), new)
        for (table, trial_id, name), value in self._replaced.items():
            of_name = table.c.trial_id == trial_id, table.c[_NAMES[table]] == name
            connection.execute(table.update().where(*of_name).values(**value))
        for trial_id, value in self._ended.items():
            connection.execute(TRIALS.update().where(TRIALS.c.trial_id == trial_id).values(**value))

    def _check(self, connection: Connection, ids: set[int]) -> None:
        """Raise an error where a trial has ended, or is gone. No other process ends it until the
        end of the transaction."""
        columns = TRIALS.c.trial_id, TRIALS.c.number, TRIALS.c.state
        found = connection.execute(select(*columns).where(TRIALS.c.trial_id.in_(ids)).with_for_update()).all()
        for _, number, state in found:
            if state.is_finished():
                raise UpdateFinishedTrialError(f"trial {number} has ended, and cannot be changed any more")
        if len(found) < len(ids):
            raise KeyError(models.NOT_FOUND_MSG)


def in_utc(local: datetime) -> datetime:
    """Return a local time as the database has it: in UTC, without a zone."""
    return local.astimezone(UTC).replace(tzinfo=None)


def as_stored(value: Any) -> tuple[str, Any]:
    """Return an attribute as JSON, and as a storage gives it back."""
    text = json.dumps(value)
    return text, json.loads(text)
