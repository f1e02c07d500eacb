"""The choice of the trial that completes although the time of the budget is used up."""

from __future__ import annotations

from copy import copy
from math import inf, isnan

from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sweep.search.promotion import PAUSED_AT, PromotingPruner
from sweep.search.view import StudyView
from sweep.study.trial_groups import valid_scores


def most_promising(study: Study) -> int | None:
    """Return the number of the trial that trains to its end where only one does: of those that
    have begun and have a score.

    It is the one that a pruner which pauses trials promotes if all of them are paused. Where it
    promotes none, and with other pruners, it is the one with the best score. None where no trial
    has a score.
    """
    scored = _ScoredArePaused(study)
    pruner = study.pruner
    promoted = pruner.promote(scored, new=False) if isinstance(pruner, PromotingPruner) else None
    return _best(scored) if promoted is None else promoted


class _ScoredArePaused(StudyView):
    """A study in which all trials that have begun and have a score are paused, and those without a
    score are missing."""

    def shown(self, *, use_cache: bool) -> list[FrozenTrial]:
        found = []
        for trial in map(valid_scores, self.known(use_cache=use_cache)):
            if trial.state is not TrialState.RUNNING:
                found.append(trial)
            elif (step := trial.last_step) is not None:
                paused = copy(trial)
                paused._user_attrs = {**trial.user_attrs, PAUSED_AT: step}
                found.append(paused)
        return found


def _best(study: Study) -> int | None:
    """Return the trial that has begun with the best score of any evaluation, the first of several;
    with two objectives by the first one."""
    sign = 1 if study.directions[0] == StudyDirection.MAXIMIZE else -1
    begun = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    found = max(begun, key=lambda trial: (_highest(trial, sign), -trial.number), default=None)
    return None if found is None else found.number


def _highest(trial: FrozenTrial, sign: int) -> float:
    scores = (sign * score for score in trial.intermediate_values.values())
    return max((-inf if isnan(score) else score for score in scores), default=-inf)
