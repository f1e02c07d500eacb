"""Two objectives as one score: the non-dominated rank of a trial among the others at a step.

Optuna has no pruner for several objectives, and its trials refuse to report scores of them. The
first score of a report step is kept where Optuna keeps that of a single objective, the second one
in a user attribute.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence

import numpy as np
from optuna.pruners import BasePruner
from optuna.study import Study, StudyDirection
from optuna.study._multi_objective import _fast_non_domination_rank
from optuna.trial import FrozenTrial, Trial

from sweep.search.view import StudyView

SECOND = "second_scores"  # a user attribute of a trial: its second score by report step


def report(trial: Trial, scores: Sequence[float], step: int) -> None:
    """Report the scores of one or two objectives at a report step; a known score is replaced."""
    first, *second = scores
    trial._cached_frozen_trial.intermediate_values.pop(step, None)  # Optuna keeps the first score
    if not second:
        trial.report(first, step)
        return
    trial.storage.set_trial_intermediate_value(trial._trial_id, step, first)
    trial._cached_frozen_trial.intermediate_values[step] = first
    known: Mapping[str, float] = trial.user_attrs.get(SECOND, {})
    trial.set_user_attr(SECOND, {**known, str(step): second[0]})


class RankedPruner(BasePruner):
    """A pruner of two objectives: `inner` judges trials by their ranks, as if these were the
    scores of one objective, and stops them for good.

    A trial is better than another if fewer layers of trials dominate it (Deb et al. 2002, NSGA-II;
    for successive halving Schmucker et al. 2021): rank 0 is the Pareto set. Trials of one rank are
    equal, so that none of the Pareto set is ever behind.
    """

    def __init__(self, inner: BasePruner) -> None:
        self.inner = inner

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        ranked = _RankedStudy(study, trial)
        return self.inner.prune(ranked, ranked.trial(trial.number))


class _RankedStudy(StudyView):
    """A study of two objectives as one that maximises the negative rank. `newest` replaces the
    trial of its number, of which the study may know less."""

    def __init__(self, study: Study, newest: FrozenTrial) -> None:
        super().__init__(study)
        known = [newest if newest.number == one.number else one for one in self.known(use_cache=False)]
        self._ranked = ranked_trials(known, study.directions)
        self._directions = [StudyDirection.MAXIMIZE]

    def trial(self, number: int) -> FrozenTrial:
        return next(one for one in self._ranked if one.number == number)

    def shown(self, *, use_cache: bool) -> list[FrozenTrial]:  # noqa: ARG002
        return self._ranked


def ranked_trials(trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> list[FrozenTrial]:
    """Return the trials with the negative rank as the score of each step that they were scored at.

    A trial is ranked at a step among the trials that were scored there or later, of which each
    counts with its first score from there on.
    """
    scores = {trial.number: _scores(trial, directions) for trial in trials}
    ranks: dict[int, dict[int, float]] = {trial.number: {} for trial in trials}
    for step in sorted({step for found in scores.values() for step in found}):
        firsts = {number: min((at for at in found if at >= step), default=None) for number, found in scores.items()}
        there = {number: at for number, at in firsts.items() if at is not None}
        found = non_dominated_ranks([scores[number][at] for number, at in there.items()])
        for (number, at), rank in zip(there.items(), found, strict=True):
            if at == step:
                ranks[number][step] = -float(rank)
    return [_with_scores(trial, ranks[trial.number]) for trial in trials]


def non_dominated_ranks(losses: Sequence[Sequence[float]]) -> list[int]:
    """Return the rank of each point, less being better in each of its values: 0 for those that no
    other point dominates, 1 for those that only points of rank 0 dominate, and so on."""
    return [int(rank) for rank in _fast_non_domination_rank(np.asarray(losses, dtype=np.float64))]


def _scores(trial: FrozenTrial, directions: Sequence[StudyDirection]) -> dict[int, tuple[float, ...]]:
    """Return the two scores of each step, less being better; one that is no number is infinite."""
    second: Mapping[str, float] = trial.user_attrs.get(SECOND, {})
    signs = [-1 if direction == StudyDirection.MAXIMIZE else 1 for direction in directions]
    pairs = {step: (first, second.get(str(step), math.nan)) for step, first in trial.intermediate_values.items()}
    return {
        step: tuple(math.inf if math.isnan(one) else sign * one for sign, one in zip(signs, pair, strict=True))
        for step, pair in pairs.items()
    }


def _with_scores(trial: FrozenTrial, scores: Mapping[int, float]) -> FrozenTrial:
    found = copy.copy(trial)
    found.intermediate_values = dict(scores)
    return found
