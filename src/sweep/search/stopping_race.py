"""Successive halving, for trials that train at the same time and cannot be paused."""

from __future__ import annotations

from math import isnan

from optuna.pruners import BasePruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sweep.search.promotion import WARMUP

FINALISTS = 3


class StoppingRace(BasePruner):
    """Stops a trial that is not among the best at a rung that it has passed.

    Rungs are at `min_resource` and at twice, four times, eight times that, in report steps. Of n
    trials that have reached the first rung, the best n / `reduction_factor` stay in the race
    there, half as many at the second rung, a quarter at the third, and at least `finalists` at
    each.

    At the rung that it reaches, a trial is compared with all that have reached that rung, as in
    asynchronous successive halving (Li et al. 2020). Optuna's pruner of that name compares it
    once: of eight trials that start at once, the first to report is compared with nothing and is
    never compared again. Here each later evaluation compares the trial, at the rungs behind it,
    with those that are still in the race or have completed. For trials that train one after the
    other, that changes nothing.

    A trial is not stopped at a rung that it passed within its warmup; its score there still counts
    against other trials, which had trained as long. The last step reported within the warmup is in
    the trial's user attribute `WARMUP`.

    The last `finalists` trials in the race, completed ones among them, are not stopped. A score
    that is not a number is worse than any other.
    """

    def __init__(self, min_resource: int = 1, reduction_factor: float = 3, finalists: int = FINALISTS) -> None:
        if min_resource < 1:
            raise ValueError(f"min_resource is {min_resource}, but must be at least 1")
        if reduction_factor <= 1:
            raise ValueError(f"reduction_factor is {reduction_factor}, but must be above 1")
        if finalists < 1:
            raise ValueError(f"finalists is {finalists}, but must be at least 1")
        self._min_resource = min_resource
        self._reduction_factor = reduction_factor
        self.finalists = finalists

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        step = trial.last_step
        if step is None or step < self._min_resource:
            return False
        others = [other for other in study.get_trials(deepcopy=False) if other.number != trial.number]
        racing = [other for other in others if other.state in (TrialState.COMPLETE, TrialState.RUNNING)]
        if sum(bool(other.intermediate_values) for other in racing) < self.finalists:
            return False
        sign = 1 if study.direction == StudyDirection.MAXIMIZE else -1
        arrived = 1 + sum(_score(other, self._min_resource) is not None for other in others)
        rung, kept = self._min_resource, arrived / self._reduction_factor
        while rung <= step:
            against = others if _first_at(trial, rung) == step else racing
            warm = rung > trial.user_attrs.get(WARMUP, 0)
            if warm and _better(trial, against, rung, sign) >= max(self.finalists, kept):
                return True
            rung, kept = rung * 2, kept / 2
        return False


def _better(trial: FrozenTrial, others: list[FrozenTrial], rung: int, sign: int) -> int:
    """Return how many of the others scored better at the rung."""
    own = _score(trial, rung)
    scores = [score for other in others if (score := _score(other, rung)) is not None]
    if own is None or isnan(own):
        return len(scores)
    return sum(sign * score > sign * own for score in scores)


def _score(trial: FrozenTrial, rung: int) -> float | None:
    """Return the score of the trial's first evaluation at or after the rung, or None."""
    step = _first_at(trial, rung)
    return None if step is None else trial.intermediate_values[step]


def _first_at(trial: FrozenTrial, rung: int) -> int | None:
    return min((step for step in trial.intermediate_values if step >= rung), default=None)
