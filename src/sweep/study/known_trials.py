"""Optuna's cache of a study's trials, for a study that one process alone writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage
from optuna.storages._cached_storage import _CachedStorage, _StudyInfo
from optuna.trial import TrialState


class KnownTrials(_CachedStorage):
    """Reads a trial from the database again only after this process has written it.

    Optuna's own cache reads every trial that has not ended at each question, since any process may
    write it. With hundreds of trials at once that takes tenths of a second, at every start and
    every verdict. A study has one process (`sweep.study.owner`). Trials that another program adds,
    such as enqueued points, are found all the same.
    """

    def __init__(self, backend: RDBStorage) -> None:
        super().__init__(backend)
        self._written = set[int]()  # ids of trials that were written since they were last read
        self._newest = -1  # id of the newest trial that was read

    def forget(self) -> None:
        """Read all trials again at the next question."""
        _CachedStorage.__init__(self, self._backend)
        self._written.clear()
        self._newest = -1

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        self._written.add(trial_id)
        super().set_trial_param(trial_id, param_name, param_value_internal, distribution)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        self._written.add(trial_id)
        return super().set_trial_state_values(trial_id, state, values)

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        self._written.add(trial_id)
        super().set_trial_intermediate_value(trial_id, step, intermediate_value)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._written.add(trial_id)
        super().set_trial_user_attr(trial_id, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._written.add(trial_id)
        super().set_trial_system_attr(trial_id, key, value)

    def _read_trials_from_remote_storage(self, study_id: int) -> None:
        with self._lock:
            self._studies.setdefault(study_id, _StudyInfo())
            trials = self._backend._get_trials(
                study_id, states=None, included_trial_ids=self._written, trial_id_greater_than=self._newest
            )
            self._add_trials_to_cache(study_id, trials)
            self._newest = max((self._newest, *(trial._trial_id for trial in trials)))
            self._written.clear()
