"""Trials of other studies, shown to a sampler as if they were the first of this one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweep.config.space import Space
from sweep.records.warm_start import WarmTrial
from sweep.search.distributions import distribution
from sweep.search.view import StudyView, ViewingSampler

# The number of each: lower than those of the study's own trials. Optuna's intersection search
# space leaves out trials with still lower ones.
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


class WarmSampler(ViewingSampler):
    """A sampler that shows `inner` the trials of other studies before those of the study. They are
    in no storage: nothing but the sampler sees them."""

    def __init__(self, inner: BaseSampler, trials: Sequence[FrozenTrial]) -> None:
        super().__init__(inner)
        self._trials = trials

    def view(self, study: Study) -> Study:
        return _WithEarlier(study, self._trials)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self.inner.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self.inner.after_trial(study, trial, state, values)


class _WithEarlier(StudyView):
    """A study with further trials before its own."""

    def __init__(self, source: Study, earlier: Sequence[FrozenTrial]) -> None:
        super().__init__(source)
        self._earlier = earlier

    def shown(self, *, use_cache: bool) -> list[FrozenTrial]:
        return [*self._earlier, *self.known(use_cache=use_cache)]


def of_choice(trials: Sequence[FrozenTrial], fixed: Mapping[str, Any]) -> list[FrozenTrial]:
    """Return the trials that have these values."""
    return [trial for trial in trials if all(trial.params.get(key) == value for key, value in fixed.items())]
