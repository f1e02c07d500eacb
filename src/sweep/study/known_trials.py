"""Optuna's cache of a study's trials, for a study that one process alone writes."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.storages import RDBStorage
from optuna.storages._cached_storage import _CachedStorage, _StudyInfo
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import select
from sqlalchemy.sql.functions import count

from sweep.study.gathered_writes import STUDIES, SYSTEM, TRIALS, USER, GatheredWrites, as_stored, in_utc


class KnownTrials(_CachedStorage):
    """Reads a trial from the database again only where it may have another content than is known.

    Optuna's own cache reads every trial that has not ended at each question, since any process may
    write it. With hundreds of trials at once that takes tenths of a second, at every start and
    every verdict. A study has one process (`sweep.study.owner`). Trials that another program adds,
    such as enqueued points, are found all the same.

    Within `gathered`, values and ends of running trials are written together, and known without
    being read again.
    """

    def __init__(self, backend: RDBStorage) -> None:
        super().__init__(backend)
        self._written = set[int]()  # ids of trials whose content is not known since they were written
        self._newest = -1  # id of a trial up to which all were read
        self._gathered = GatheredWrites(backend)
        self._gathers = False
        self._looked = False  # for trials of other programs, within `gathered`

    def forget(self) -> None:
        """Read all trials again at the next question."""
        _CachedStorage.__init__(self, self._backend)
        self._written.clear()
        self._newest = -1

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Write the values of trials together, at the end of the context and before anything that
        depends on them. Nothing more is written after an error. It belongs into a transaction."""
        self._gathers, self._looked = True, False
        try:
            yield
            self._gathered.write()
        finally:
            self._gathered.clear()
            self._gathers = False

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        self._gathered.write()
        if template_trial is not None or not self._gathers or study_id not in self._studies:
            trial_id = super().create_new_trial(study_id, template_trial)
            self._written.add(trial_id)
            return trial_id
        trial = self._created(study_id)
        if trial.number == len(self._studies[study_id].trials):  # else another program has added a trial
            self._newest = max(self._newest, trial._trial_id)
        self._add_trials_to_cache(study_id, [trial])
        return trial._trial_id

    def _created(self, study_id: int) -> FrozenTrial:
        """Return a running trial, created as Optuna does: its number is the count of the trials
        before it, which nobody else changes while the row of the study is locked."""
        began = datetime.now()
        new = {"study_id": study_id, "state": TrialState.RUNNING, "datetime_start": in_utc(began)}
        with _create_scoped_session(self._backend.scoped_session) as session:
            connection = session.connection()
            connection.execute(select(STUDIES.c.study_id).where(STUDIES.c.study_id == study_id).with_for_update())
            key = connection.execute(TRIALS.insert().values(**new)).inserted_primary_key
            assert key is not None, "a row was inserted"
            trial_id: int = key[0]
            before = TRIALS.c.study_id == study_id, TRIALS.c.trial_id < trial_id
            number = connection.execute(select(count()).select_from(TRIALS).where(*before)).scalar_one()
            connection.execute(TRIALS.update().where(TRIALS.c.trial_id == trial_id).values(number=number))
        return FrozenTrial(number, TrialState.RUNNING, None, began, None, {}, {}, {}, {}, {}, trial_id)

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        trial, former = self._open(trial_id), self._former(trial_id, param_name)
        if trial is None or former is None or param_name in trial.params:
            self._write_alone(trial_id)
            super().set_trial_param(trial_id, param_name, param_value_internal, distribution)
            return
        check_distribution_compatibility(former, distribution)
        self._gathered.param(trial_id, param_name, param_value_internal, distribution)
        trial._params = {**trial._params, param_name: distribution.to_external_repr(param_value_internal)}
        trial._distributions = {**trial._distributions, param_name: distribution}
        self._keep(trial)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        if (trial := self._open(trial_id)) is None or not state.is_finished():
            self._write_alone(trial_id)
            return super().set_trial_state_values(trial_id, state, values)
        trial.state, trial.datetime_complete = state, datetime.now()
        trial._values = None if values is None else list(values)
        self._gathered.end(trial_id, state, values or (), trial.datetime_complete)
        self._keep(trial)
        return True

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        if (trial := self._open(trial_id)) is None:
            self._write_alone(trial_id)
            super().set_trial_intermediate_value(trial_id, step, intermediate_value)
            return
        self._gathered.score(trial_id, step, intermediate_value, known=step in trial.intermediate_values)
        trial.intermediate_values = {**trial.intermediate_values, step: intermediate_value}
        self._keep(trial)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        if not self._gather_attribute(USER, "_user_attrs", trial_id, key, value):
            super().set_trial_user_attr(trial_id, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        if not self._gather_attribute(SYSTEM, "_system_attrs", trial_id, key, value):
            super().set_trial_system_attr(trial_id, key, value)

    def _gather_attribute(self, table: Any, mapping: str, trial_id: int, key: str, value: Any) -> bool:
        """Gather an attribute, which a trial keeps in this mapping. Return whether writes to the
        trial are gathered."""
        if (trial := self._open(trial_id)) is None:
            self._write_alone(trial_id)
            return False
        text, stored = as_stored(value)
        known: dict[str, Any] = getattr(trial, mapping)
        self._gathered.attribute(table, trial_id, key, text, known=key in known)
        setattr(trial, mapping, {**known, key: stored})
        self._keep(trial)
        return True

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        self._gathered.write()  # the database is asked which one is best
        return super().get_best_trial(study_id)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        if (trial := self._content(trial_id)) is not None:
            return _own_copy(trial)
        self._gathered.write()
        return super().get_trial(trial_id)

    def _content(self, trial_id: int) -> FrozenTrial | None:
        """Return a trial whose content is known. It may be shared, and is not changed."""
        place = self._trial_id_to_study_id_and_number.get(trial_id)
        if place is None or trial_id in self._written:
            return None
        return self._studies[place[0]].trials[place[1]]

    def _open(self, trial_id: int) -> FrozenTrial | None:
        """Return a copy of a running trial to which writes are gathered; None for any other
        one."""
        trial = self._content(trial_id) if self._gathers else None
        return copy.copy(trial) if trial is not None and trial.state is TrialState.RUNNING else None

    def _keep(self, trial: FrozenTrial) -> None:
        study_id, number = self._trial_id_to_study_id_and_number[trial._trial_id]
        self._studies[study_id].trials[number] = trial

    def _former(self, trial_id: int, name: str) -> BaseDistribution | None:
        """Return the distribution that the parameter of this name has in the study, if it is
        known."""
        place = self._trial_id_to_study_id_and_number.get(trial_id)
        return None if place is None else self._studies[place[0]].param_distribution.get(name)

    def _write_alone(self, trial_id: int) -> None:
        """Prepare a write that is not gathered."""
        self._gathered.write()
        self._written.add(trial_id)

    def _read_trials_from_remote_storage(self, study_id: int) -> None:
        with self._lock:
            self._studies.setdefault(study_id, _StudyInfo())
            if not self._written and self._gathers and self._looked:
                return
            if self._written or self._newest < 0 or self._others(study_id):
                self._gathered.write()
                self._read(study_id)
            self._looked = True

    def _others(self, study_id: int) -> bool:
        """Return whether the database has trials that are not known."""
        newer = select(TRIALS.c.trial_id).where(TRIALS.c.study_id == study_id, TRIALS.c.trial_id > self._newest)
        with _create_scoped_session(self._backend.scoped_session) as session:
            return session.connection().execute(newer.limit(1)).first() is not None

    def _read(self, study_id: int) -> None:
        trials = self._backend._get_trials(
            study_id, states=None, included_trial_ids=self._written, trial_id_greater_than=self._newest
        )
        self._add_trials_to_cache(study_id, trials)
        self._newest = max((self._newest, *(trial._trial_id for trial in trials)))
        self._written.clear()


def _own_copy(trial: FrozenTrial) -> FrozenTrial:
    """Return a copy of a trial whose mappings may be changed."""
    found = copy.copy(trial)
    found._params, found._distributions = dict(trial._params), dict(trial._distributions)
    found._user_attrs, found._system_attrs = dict(trial._user_attrs), dict(trial._system_attrs)
    found.intermediate_values = dict(trial.intermediate_values)
    return found
