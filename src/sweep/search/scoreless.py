"""A sampler of two objectives, which sees no scores of report steps.

Optuna's TPE ranks pruned trials by these scores, and cannot where there are two objectives.
Without them it takes pruned trials for worse than those that completed.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState


class ScorelessSampler(BaseSampler):
    """The sampler `inner` on a study whose trials have no scores of report steps."""

    def __init__(self, inner: BaseSampler) -> None:
        self.inner = inner

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.inner.infer_relative_search_space(_Scoreless(study), trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self.inner.sample_relative(_Scoreless(study), trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self.inner.sample_independent(_Scoreless(study), trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self.inner.before_trial(_Scoreless(study), trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self.inner.after_trial(_Scoreless(study), trial, state, values)


class _Scoreless(Study):
    def __init__(self, source: Study) -> None:
        self.__dict__.update(source.__dict__)
        self._source = source

    def get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        return self._get_trials(deepcopy, states)

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        found = [_without_scores(trial) for trial in self._source._get_trials(False, states, use_cache)]
        return copy.deepcopy(found) if deepcopy else found


def _without_scores(trial: FrozenTrial) -> FrozenTrial:
    found = copy.copy(trial)
    found.intermediate_values = {}
    return found
