"""Writes to running trials that go to the database together."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from sqlalchemy import select
from sqlalchemy.orm import Session

USER, SYSTEM = models.TrialUserAttributeModel, models.TrialSystemAttributeModel
_SCORE = models.TrialIntermediateValueModel

_Table = Any  # a class of `models`, which have no types
_Key = tuple[_Table, int, str | int]  # the table, the trial's id, and the name or step of a value


@dataclass(slots=True)
class GatheredWrites:
    """Values of trials that are still to be written, and to which rows.

    Optuna asks the database for the trial and its state before it writes each value, in a session
    of its own. A trial begins with about ten values and ends with as many.
    """

    backend: RDBStorage
    _new: dict[_Key, dict[str, Any]] = field(default_factory=dict)
    _replaced: dict[_Key, dict[str, Any]] = field(default_factory=dict)

    def param(self, trial_id: int, name: str, internal: float, distribution: BaseDistribution) -> None:
        """Gather a parameter, which the trial does not have yet."""
        row = {"param_name": name, "param_value": internal, "distribution_json": distribution_to_json(distribution)}
        self._new[models.TrialParamModel, trial_id, name] = {"trial_id": trial_id, **row}

    def attribute(self, table: _Table, trial_id: int, key: str, value: str, *, known: bool) -> None:
        """Gather an attribute as JSON. `known` says that the trial has one of this key."""
        self._gather((table, trial_id, key), {"key": key}, {"value_json": value}, known=known)

    def score(self, trial_id: int, step: int, score: float, *, known: bool) -> None:
        """Gather an intermediate value. `known` says that the trial has one of this step."""
        stored, kind = _SCORE.intermediate_value_to_stored_repr(score)
        value = {"intermediate_value": stored, "intermediate_value_type": kind}
        self._gather((_SCORE, trial_id, step), {"step": step}, value, known=known)

    def _gather(self, place: _Key, name: dict[str, Any], value: dict[str, Any], *, known: bool) -> None:
        if known and place not in self._new:
            self._replaced[place] = value
        else:
            self._new[place] = {"trial_id": place[1], **name, **value}

    def clear(self) -> None:
        """Forget what was gathered."""
        self._new.clear()
        self._replaced.clear()

    def write(self) -> None:
        """Write what was gathered. Raises UpdateFinishedTrialError where a trial has ended."""
        if not (self._new or self._replaced):
            return
        with _create_scoped_session(self.backend.scoped_session) as session:
            self._check(session, {trial_id for _, trial_id, _ in (*self._new, *self._replaced)})
            for table, rows in self._rows():
                session.execute(table.__table__.insert(), rows)
            for (table, trial_id, name), value in self._replaced.items():
                named = (table.step if table is _SCORE else table.key) == name
                session.execute(table.__table__.update().where(table.trial_id == trial_id, named).values(**value))
        self.clear()

    def _rows(self) -> Iterator[tuple[_Table, list[dict[str, Any]]]]:
        rows: defaultdict[_Table, list[dict[str, Any]]] = defaultdict(list)
        for (table, _, _), row in self._new.items():
            rows[table].append(row)
        yield from rows.items()

    def _check(self, session: Session, ids: set[int]) -> None:
        columns = models.TrialModel.trial_id, models.TrialModel.number, models.TrialModel.state
        found = session.execute(select(*columns).where(models.TrialModel.trial_id.in_(ids))).all()
        for _, number, state in found:
            if state.is_finished():
                raise UpdateFinishedTrialError(f"trial {number} has ended, and cannot be changed any more")
        if len(found) < len(ids):
            raise KeyError(models.NOT_FOUND_MSG)


def as_stored(value: Any) -> tuple[str, Any]:
    """Return an attribute as JSON, and as a storage gives it back."""
    text = json.dumps(value)
    return text, json.loads(text)
