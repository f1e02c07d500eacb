"""A group run's methods, each searched as if it had a study to itself.

One adapter learns in an epoch what another needs three for, and at another learning rate: what is known of the one must
neither steer nor prune the other. So a sampler and a pruner see those trials alone that share the value of `key`.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from sweep.config.schema import Scalar

_FIXED = "fixed_params"  # where Optuna keeps the values that a trial was enqueued with


def value_of(trial: FrozenTrial, key: str) -> Scalar:
    """The trial's value, of one that was only asked for too; None where it has none."""
    found: Scalar = {**trial.system_attrs.get(_FIXED, {}), **trial.params}.get(key)
    return found


class OwnSampler(BaseSampler):
    """`inner`, shown the trials of one value."""

    def __init__(self, inner: BaseSampler, key: str, value: Scalar) -> None:
        self._inner, self._key, self._value = inner, key, value

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._inner.infer_relative_search_space(self._own(study), trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._inner.sample_relative(self._own(study), trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._inner.sample_independent(self._own(study), trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._inner.before_trial(self._own(study), trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self._inner.after_trial(self._own(study), trial, state, values)

    def _own(self, study: Study) -> Study:
        return _OwnStudy(study, self._key, self._value)


class OwnPruner(BasePruner):
    """`inner`, shown the trials that share the judged one's value of `key`."""

    def __init__(self, inner: BasePruner, key: str) -> None:
        self._inner, self._key = inner, key

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        return self._inner.prune(_OwnStudy(study, self._key, value_of(trial, self._key)), trial)


class _OwnStudy(Study):
    def __init__(self, study: Study, key: str, value: Scalar) -> None:
        super().__init__(study.study_name, study._storage, sampler=study.sampler, pruner=study.pruner)
        self._key, self._value = key, value

    def get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        return self._get_trials(deepcopy, states)

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        trials = super()._get_trials(deepcopy, states, use_cache)
        return [trial for trial in trials if value_of(trial, self._key) == self._value]
