"""A simple pruner that pauses and promotes, in place of racing's rule."""

from __future__ import annotations

from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from sweep.search.promotion import WARMUP, Decision, PromotingPruner, is_paused


class BestGoesOn(PromotingPruner):
    """Pauses each trial at its first evaluation, unless `most` is reached, and promotes the best
    one when there is no new point. At most `promotions` trials are promoted, by trials that have
    more than one score."""

    finalists = 1
    promotions = 2
    pause_again = False

    def __init__(self, **_options: Any) -> None: ...

    def decide(self, study: Study, trial: FrozenTrial) -> Decision:  # noqa: ARG002
        step = trial.last_step or 0
        if step <= trial.user_attrs.get(WARMUP, 0):
            return Decision.GO_ON
        first = min(trial.intermediate_values) == step
        return Decision.PAUSE if first or self.pause_again else Decision.GO_ON

    def promote(self, study: Study, *, new: bool) -> int | None:
        trials = study.get_trials(deepcopy=False)
        paused = [trial for trial in trials if is_paused(trial)]
        gone_on = [
            trial
            for trial in trials
            if trial not in paused and trial.state in (TrialState.RUNNING, TrialState.COMPLETE)
        ]
        if new or not paused or (len(gone_on) >= self.promotions and not self.pause_again):
            return None
        return max(paused, key=lambda trial: trial.intermediate_values[trial.last_step or 0]).number

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        return self.decide(study, trial) is Decision.PAUSE


class PausedAtEach(BestGoesOn):
    """Pauses each trial at each evaluation, and promotes the one with the fewest scores."""

    pause_again = True

    def promote(self, study: Study, *, new: bool) -> int | None:
        paused = [trial for trial in study.get_trials(deepcopy=False) if is_paused(trial)]
        if new or not paused:
            return None
        return min(paused, key=lambda trial: (len(trial.intermediate_values), trial.number)).number
