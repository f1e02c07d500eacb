"""The subset of a study's trials that its sampler and its pruner see.

A retried trial is hidden from the pruner, since its point would count twice. With
`study.compare_by` each compared value has its own subset: adapters need different learning rates
and numbers of epochs, so that trials of one say nothing about another.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from copy import copy

from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from sweep.config.schema import Scalar
from sweep.records.trial import FailureReason
from sweep.search.constraints import OUTCOME
from sweep.search.promotion import PAUSED_AT, WARMUP, Decision, PromotingPruner, is_paused
from sweep.search.view import StudyView, ViewingSampler

RETRIED = "retried"  # a user attribute of trials whose point was enqueued again
# A user attribute of a trial that took another course after a stop: the report step up to which its
# scores are those of that course. Optuna deletes no score.
SCORED_TO = "scored_to"
_FIXED = "fixed_params"  # Optuna's system attribute with the values that a trial was enqueued with


def value_of(trial: FrozenTrial, key: str) -> Scalar:
    """Return the trial's value of `key`, which it may have been enqueued with; None if it has
    none."""
    found: Scalar = {**fixed_values(trial), **trial.params}.get(key)
    return found


def fixed_values(trial: FrozenTrial) -> dict[str, Scalar]:
    """Return the values that the trial was enqueued with."""
    found: dict[str, Scalar] = trial.system_attrs.get(_FIXED, {})
    return found


def is_stopped(trial: Trial, step: int, *, warm: bool) -> bool:
    """Return whether the pruner stops the trial for the score that it reported at `step`; never
    during warmup (not `warm`).

    The pruner is asked during warmup too. Successive halving and hyperband record the rungs that a
    trial has passed when they are asked; asked later, they would rank it there by its first score
    after the warmup, which other trials lack.
    """
    if not warm:
        trial.set_user_attr(WARMUP, step)
    # `Trial.should_prune` asks the same, but refuses where there are two objectives.
    return trial.study.pruner.prune(trial.study, trial._get_latest_trial()) and warm


def decision(trial: Trial, step: int, *, warm: bool, savable: bool = True) -> Decision:
    """Return whether the trial goes on, pauses or stops for the score that it reported at `step`.

    A promoting pruner knows the warmup from the trial's attributes. Any other one stops for good,
    never during warmup (`is_stopped`), and so does a promoting one where the trial is not
    `savable`.
    """
    study, pruner = trial.study, trial.study.pruner
    if not (savable and isinstance(pruner, OwnPruner) and pruner.promotes):
        return Decision.STOP if is_stopped(trial, step, warm=warm) else Decision.GO_ON
    if not warm:
        trial.set_user_attr(WARMUP, step)
    return pruner.decide(study, trial._get_latest_trial())


class OwnSampler(ViewingSampler):
    """A sampler that shows `inner` a paused trial as a pruned one, since it has scores and may
    never complete, and no scores that are not valid any more. With a `key` it shows only the
    trials with one value of it."""

    def __init__(self, inner: BaseSampler, key: str | None, value: Scalar) -> None:
        super().__init__(inner)
        self._key, self._value = key, value

    def view(self, study: Study) -> Study:
        key = self._key
        return _PausedAsPruned(study, lambda trial: key is None or value_of(trial, key) == self._value)


def valid_scores(trial: FrozenTrial) -> FrozenTrial:
    """Return the trial without scores of a course that it left when it went on after a stop."""
    last = trial.user_attrs.get(SCORED_TO)
    if last is None:
        return trial
    found = copy(trial)
    found.intermediate_values = {step: score for step, score in trial.intermediate_values.items() if step <= last}
    return found


class OwnPruner(PromotingPruner):
    """A pruner that hides retried trials from `inner`, infeasible ones, scores that are not valid
    any more and, with a `key`, trials with another value of it. A trial beyond a limit would stop
    others that it must not win against."""

    def __init__(self, inner: BasePruner, key: str | None) -> None:
        self._inner, self._key = inner, key

    @property
    def promotes(self) -> bool:
        return isinstance(self._inner, PromotingPruner)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        return self._inner.prune(self._like(study, trial), valid_scores(trial))

    def decide(self, study: Study, trial: FrozenTrial) -> Decision:
        own = self._like(study, trial)
        if isinstance(self._inner, PromotingPruner):
            return self._inner.decide(own, valid_scores(trial))
        return Decision.STOP if self._inner.prune(own, valid_scores(trial)) else Decision.GO_ON

    def promote(self, study: Study, *, new: bool) -> int | None:
        """Return the paused trial that goes on, of the first group that has one: groups are in the
        order of their first paused trials."""
        if not isinstance(self._inner, PromotingPruner):
            return None
        paused = [trial for trial in study.get_trials(deepcopy=False) if is_paused(trial)]
        firsts = {self._value(trial): trial for trial in reversed(paused)}
        for trial in sorted(firsts.values(), key=lambda trial: trial.number):
            number = self._inner.promote(self._like(study, trial), new=new)
            if number is not None:
                return number
        return None

    def promoted(self, study: Study, paused: Container[int], *, new: bool) -> int | None:
        """Return the trial of the numbers `paused` that goes on, as `promote` does."""
        return self.promote(PausedNow(study, paused), new=new)

    def _like(self, study: Study, trial: FrozenTrial) -> Study:
        """Return the study with only the trials that `trial` is compared with."""
        value = self._value(trial)

        def shown(other: FrozenTrial) -> bool:
            infeasible = other.user_attrs.get(OUTCOME) == FailureReason.INFEASIBLE
            return self._value(other) == value and not infeasible and RETRIED not in other.user_attrs

        return _PartOf(study, shown)

    def _value(self, trial: FrozenTrial) -> Scalar:
        return None if self._key is None else value_of(trial, self._key)


class PausedNow(StudyView):
    """A study in which only the trials of the numbers `paused` are paused. Others that the pruner
    has paused still train, until they are put away or are back at that evaluation after a kill."""

    def __init__(self, source: Study, paused: Container[int]) -> None:
        super().__init__(source)
        self._paused = paused

    def shown(self, *, use_cache: bool) -> list[FrozenTrial]:
        return [self._running(trial) for trial in self.known(use_cache=use_cache)]

    def _running(self, trial: FrozenTrial) -> FrozenTrial:
        if not is_paused(trial) or trial.number in self._paused:
            return trial
        found = copy(trial)
        found._user_attrs = {**trial.user_attrs, PAUSED_AT: 0}
        return found


class _PartOf(StudyView):
    """A study with only the trials that `part` returns true for, and with their valid scores."""

    def __init__(self, source: Study, part: Callable[[FrozenTrial], bool]) -> None:
        super().__init__(source)
        self._part = part

    def shown(self, *, use_cache: bool) -> list[FrozenTrial]:
        return [valid_scores(trial) for trial in self.known(use_cache=use_cache) if self._part(trial)]


class _PausedAsPruned(_PartOf):
    """A part of a study in which paused trials are pruned ones."""

    def shown(self, *, use_cache: bool) -> list[FrozenTrial]:
        return [_pruned_if_paused(trial) for trial in super().shown(use_cache=use_cache)]


def _pruned_if_paused(trial: FrozenTrial) -> FrozenTrial:
    """Return a paused trial as a pruned one with its last score alone.

    TPE ranks pruned trials by their last steps first. Paused trials are equally far in their
    schedules, not in steps: one with a long warmup would seem better for coming later.
    """
    if not is_paused(trial):
        return trial
    found = copy(trial)
    found.state = TrialState.PRUNED
    if trial.last_step is not None:
        found.intermediate_values = {1: trial.intermediate_values[trial.last_step]}
    return found
