"""Trials of other studies, shown to a sampler as if they were the first of this one."""

from __future__ import annotations

import copy
from collections.abc import Container, Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweep.config.space import Space
from sweep.records.warm_start import WarmTrial
from sweep.search.distributions import distribution

# Of all of them: before the study's own. Optuna's search space of the intersection leaves out
# trials with lower numbers than this.
_NUMBER = -1


def learns(sampler: str) -> bool:
    """Return whether a sampler learns from trials that have ended: all do but those that draw from
    a fixed sequence, and CMA-ES, which goes by the trials that it drew itself."""
    return sampler not in ("random", "qmc", "grid", "cmaes")


def finished_trials(trials: Sequence[WarmTrial], space: Space) -> tuple[FrozenTrial, ...]:
    """Return the trials as Optuna has those that completed or were pruned."""
    found = []
    for trial in trials:
        made = create_trial(
            state=TrialState.PRUNED if trial.score is None else TrialState.COMPLETE,
            value=trial.score,
            params=dict(trial.params),
            distributions={key: distribution(space[key]) for key in trial.params},
            intermediate_values=dict(trial.scores),
        )
        made.number = _NUMBER
        found.append(made)
    return tuple(found)


class WarmSampler(BaseSampler):
    """A sampler that shows `inner` the trials of other studies before those of the study. They are
    in no storage: nothing but the sampler sees them."""

    def __init__(self, inner: BaseSampler, trials: Sequence[FrozenTrial]) -> None:
        self._inner, self._trials = inner, trials

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._inner.infer_relative_search_space(self._view(study), trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._inner.sample_relative(self._view(study), trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._inner.sample_independent(self._view(study), trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._inner.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self._inner.after_trial(study, trial, state, values)

    def _view(self, study: Study) -> Study:
        return _View.of(study, self._trials)


class _View(Study):
    """A study with further trials before its own."""

    _source: Study
    _earlier: Sequence[FrozenTrial]

    @classmethod
    def of(cls, source: Study, earlier: Sequence[FrozenTrial]) -> _View:
        """Return the view, which shares all else with `source`: making a study asks the
        storage."""
        view = cls.__new__(cls)
        view.__dict__.update(source.__dict__)
        view._source, view._earlier = source, earlier
        return view

    def get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        return self._get_trials(deepcopy, states)

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        earlier = [trial for trial in self._earlier if states is None or trial.state in states]
        own = self._source._get_trials(deepcopy, states, use_cache)
        return [*(copy.deepcopy(earlier) if deepcopy else earlier), *own]


def of_choice(trials: Sequence[FrozenTrial], fixed: Mapping[str, Any]) -> list[FrozenTrial]:
    """Return the trials that have these values."""
    return [trial for trial in trials if all(trial.params.get(key) == value for key, value in fixed.items())]
