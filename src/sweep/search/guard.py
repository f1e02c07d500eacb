"""Samplers and pruners of the user's own, whose errors and values are told instead of ending the study in a traceback."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from sweep.config.custom_code import told
from sweep.errors import UserError

SAMPLER, PRUNER = "study.sampler", "study.pruner"


class GuardedSampler(BaseSampler):
    """`inner` from `path`. Raises UserError for what it raises, and for values that the search space does not have: Optuna
    would take the one kind unseen, and draw others in place of the other."""

    def __init__(self, inner: BaseSampler, path: str) -> None:
        self._inner, self._path = inner, path

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        with told(SAMPLER, self._path, "in infer_relative_search_space"):
            return self._inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        with told(SAMPLER, self._path, "in sample_relative"):
            values = dict(self._inner.sample_relative(study, trial, search_space))
        for key, value in values.items():
            if key in search_space:
                self._check(key, value, search_space[key])
        return values

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        with told(SAMPLER, self._path, "in sample_independent"):
            value = self._inner.sample_independent(study, trial, param_name, param_distribution)
        self._check(param_name, value, param_distribution)
        return value

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        with told(SAMPLER, self._path, "in before_trial"):
            self._inner.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        with told(SAMPLER, self._path, "in after_trial"):
            self._inner.after_trial(study, trial, state, values)

    def _check(self, key: str, value: Any, allowed: BaseDistribution) -> None:
        try:
            right = allowed._contains(allowed.to_internal_repr(value))
        except (ValueError, TypeError):
            right = False
        if not right:
            raise UserError.of(
                SAMPLER, f"is {self._path}, which gave {value!r} for {key}, but that must be of {allowed}"
            )


class GuardedPruner(BasePruner):
    """`inner` from `path`. Raises UserError for what it raises."""

    def __init__(self, inner: BasePruner, path: str) -> None:
        self._inner, self._path = inner, path

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        with told(PRUNER, self._path, "in prune"):
            return bool(self._inner.prune(study, trial))
