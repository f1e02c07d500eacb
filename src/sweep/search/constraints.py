"""Failures and limits as samplers see them.

A trial that fails by its own point, or is beyond a limit of the study, ends as FAIL in Optuna, so
that no pruner, no best trial and no importance counts it. Samplers leave out FAIL.
`LearningSampler` therefore shows its sampler a view of the study in which such a trial has
completed: with constraint values above 0, which TPE, the Gaussian process and NSGA-II learn from
(Optuna's `Trial.set_constraint`), and with a score that is no better than any other.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Literal

from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sweep.records.trial import Failed, FailureReason, Outcome
from sweep.search.view import StudyView, ViewingSampler

OUTCOME = "outcome"  # a user attribute of trials that have ended: completed, pruned, or the reason of a failure
_PREFIX = "constraints:"  # of Optuna's system attributes
_REASONS = tuple(str(reason) for reason in FailureReason if reason.teaches)
_KEPT = -1.0  # the constraint value of a trial that is far from breaking it

# A sampler learns from failures by constraints alone, by scores that are worse than any, or by
# both, where it is not known which of the two it reads.
Lesson = Literal["constraints", "scores", "both"]


def constrain(storage: BaseStorage, trial_id: int, values: Mapping[str, float]) -> None:
    """Write constraint values of a running trial; above 0 a constraint is broken.

    Unlike `Trial.set_constraint`, it replaces a value that was written before.
    """
    for name, value in values.items():
        storage.set_trial_system_attr(trial_id, f"{_PREFIX}{name}", value)


def failure_constraints(outcome: Outcome, total_steps: int) -> dict[str, float]:
    """Return the constraints that an outcome breaks, by name. A failure without a measured excess
    has its reason as the name. `total_steps` are those of all folds.

    A trial that was stopped by its time-out would have taken total / done times as long. A trial
    that diverged breaks its constraint the more, the earlier it did. The others break it by 1.
    """
    if not isinstance(outcome, Failed) or not outcome.reason.teaches:
        return {}
    if outcome.excess:
        return dict(outcome.excess)
    done = min(outcome.cost.steps / total_steps, 1.0) if total_steps else 0.0
    match outcome.reason:
        case FailureReason.TIMED_OUT if done > 0:
            over = max(1 / done - 1, 0.01)
        case FailureReason.DIVERGED:
            over = 1 - 0.9 * done
        case _:
            over = 1.0
    return {str(outcome.reason): over}


class LearningSampler(ViewingSampler):
    """A sampler that shows `inner` the failures of the study, as it can learn from them."""

    def __init__(self, inner: BaseSampler, lesson: Lesson) -> None:
        super().__init__(inner)
        self._lesson = lesson

    def view(self, study: Study) -> Study:
        return _WithFailures(study, self._lesson)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        if self._lesson == "scores":  # CMA-ES would warn that it reads no constraints
            trial = _changed(trial, constraints={})
        super().after_trial(study, trial, state, values)


class _WithFailures(StudyView):
    """A study whose failed trials have completed, as `shown` gives them."""

    def __init__(self, source: Study, lesson: Lesson) -> None:
        super().__init__(source)
        self._lesson = lesson

    def shown(self, *, use_cache: bool) -> list[FrozenTrial]:
        return shown(self.known(use_cache=use_cache), self.directions, self._lesson)


def shown(trials: list[FrozenTrial], directions: Sequence[StudyDirection], lesson: Lesson) -> list[FrozenTrial]:
    """Return the trials as a sampler sees them: themselves, where none has failed by its own point
    and none has constraints.

    Failures without a measured excess are left out until a trial has ended well: the sampler would
    take the first of them for the best.
    """
    well = [trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    failed = {trial.number: found for trial in trials if (found := _broken(trial))}
    failed = {number: found for number, found in failed.items() if well or not found.keys() <= set(_REASONS)}
    if not failed and not any(trial.constraints for trial in well):
        return trials
    scores, known = _Scores(well, directions), _Constraints([*(trial.constraints for trial in well), *failed.values()])

    def seen(trial: FrozenTrial) -> FrozenTrial:
        if (broken := failed.get(trial.number)) is not None:
            values = scores.of_infeasible(trial, broken, worse=lesson != "constraints")
            return _changed(trial, known.of_failed(trial.constraints | broken) if lesson != "scores" else {}, values)
        if trial.state is TrialState.COMPLETE:
            return _changed(trial, known.of_completed(trial.constraints) if lesson != "scores" else {})
        if trial.state is TrialState.PRUNED and lesson == "scores":
            return _changed(trial, {})
        return trial

    return [seen(trial) for trial in trials]


def _broken(trial: FrozenTrial) -> dict[str, float]:
    """Return the constraints that a failed trial breaks; empty for a trial that did not fail, or
    whose failure says nothing about its point. A trial of an earlier version has its reason
    alone."""
    if trial.state is not TrialState.FAIL or (reason := trial.user_attrs.get(OUTCOME)) not in _REASONS:
        return {}
    return {name: value for name, value in trial.constraints.items() if value > 0} or {reason: 1.0}


class _Constraints:
    """Fills in the constraint values that are not known, so that all trials have the same ones, as
    the Gaussian process needs. `known` are those of the trials that have ended."""

    def __init__(self, known: Iterable[Mapping[str, float]]) -> None:
        self._values: dict[str, list[float]] = {}
        for found in known:
            for name, value in found.items():
                self._values.setdefault(name, []).append(value)

    def of_completed(self, found: Mapping[str, float]) -> dict[str, float]:
        return {name: _tamed(found.get(name, min(self._usual(name), 0.0))) for name in sorted(self._values)}

    def of_failed(self, found: Mapping[str, float]) -> dict[str, float]:
        return {name: _tamed(found.get(name, self._usual(name))) for name in sorted(self._values)}

    def _usual(self, name: str) -> float:
        """Return the value of a trial for which none was measured: it did not fail for this
        reason, or ended before the value was known."""
        return _KEPT if name in _REASONS else median(self._values[name])


def _tamed(value: float) -> float:
    """Return a constraint value in the same order among others, but not many times its limit: one
    trial at a thousand times the limit would flatten a model of all others."""
    return value if value <= 1 else 1 + math.log(value)


class _Scores:
    """The scores of trials that ended well, from which those of infeasible ones follow."""

    def __init__(self, well: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> None:
        self._signs = [1 if direction == StudyDirection.MAXIMIZE else -1 for direction in directions]
        values = [found for trial in well if (found := _values(trial, len(directions))) is not None]
        self._columns = list(zip(*values, strict=True)) or [(0.0,)] * len(directions)

    def of_infeasible(self, trial: FrozenTrial, broken: Mapping[str, float], *, worse: bool) -> list[float]:
        """Return scores that are no better than any; `worse` than any, and the worse, the more of
        its constraints the trial breaks. A trial beyond a limit keeps the score that it reached,
        where constraints tell that it is infeasible."""
        reached = [score for score in trial.intermediate_values.values() if math.isfinite(score)]
        if not worse and reached and len(self._signs) == 1 and not broken.keys() <= set(_REASONS):
            return [max(reached, key=lambda score: self._signs[0] * score)]
        over = 1 + min(_tamed(sum(broken.values())), 10.0) / 10 if worse else 0.0
        return [self._worst(*column, over) for column in zip(self._signs, self._columns, strict=True)]

    @staticmethod
    def _worst(sign: int, column: Sequence[float], over: float) -> float:
        low, high = min(column), max(column)
        return (low if sign > 0 else high) - sign * over * ((high - low) or 1.0)


def _values(trial: FrozenTrial, count: int) -> Sequence[float] | None:
    """Return the scores of a trial that ended well; those of a pruned one are its last."""
    found = trial.values
    return found if found and len(found) == count and all(map(math.isfinite, found)) else None


def _changed(
    trial: FrozenTrial, constraints: Mapping[str, float], values: Sequence[float] | None = None
) -> FrozenTrial:
    """Return the trial with these constraints alone, and completed with `values` where they are
    given."""
    found = copy.copy(trial)
    kept = {key: value for key, value in trial.system_attrs.items() if not key.startswith(_PREFIX)}
    found.system_attrs = kept | {f"{_PREFIX}{name}": value for name, value in constraints.items()}
    if values is not None:
        found.state, found.values = TrialState.COMPLETE, list(values)
    return found
