"""Studies that show other trials than their storage has, and samplers that see such a study."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Container, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState


class StudyView(Study, ABC):
    """The study `source`, with the trials that `shown` returns. It shares all else with `source`,
    since making a study asks the storage."""

    def __init__(self, source: Study) -> None:
        self.__dict__.update(source.__dict__)
        self._source = source

    @abstractmethod
    def shown(self, *, use_cache: bool) -> Sequence[FrozenTrial]:
        """Return all trials of the view. They may be those of the storage, and are not changed."""

    def known(self, *, use_cache: bool) -> list[FrozenTrial]:
        """Return all trials of the source, which may be those of the storage."""
        return self._source._get_trials(False, None, use_cache)

    def get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        return self._get_trials(deepcopy, states)

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        found = [trial for trial in self.shown(use_cache=use_cache) if states is None or trial.state in states]
        return copy.deepcopy(found) if deepcopy else found


class ViewingSampler(BaseSampler):
    """The sampler `inner` on the view of a study that `view` returns."""

    def __init__(self, inner: BaseSampler) -> None:
        self.inner = inner

    @abstractmethod
    def view(self, study: Study) -> Study:
        """Return the study as `inner` sees it."""

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.inner.infer_relative_search_space(self.view(study), trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self.inner.sample_relative(self.view(study), trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self.inner.sample_independent(self.view(study), trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self.inner.before_trial(self.view(study), trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self.inner.after_trial(self.view(study), trial, state, values)
