"""Published ways to pause trials and promote them, to compare racing with.

`PromotionAsha` is the promotion type of asynchronous successive halving (Li et al. 2020, "A System
for Massively Parallel Hyperparameter Tuning", algorithm 2), which Syne Tune has as its scheduler
ASHA. `FreezeThaw` goes on with the trial whose extrapolated curve ends highest (Swersky et al.
2014, "Freeze-Thaw Bayesian Optimization"), with a plain extrapolation in place of a Gaussian
process; ifBO's own surrogate needs weights that its package downloads. Neither knows of
progress: both compare at equal rows, but not before a trial's warmup is over. `RungRace` is
racing without its predictions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from sweep.search.promotion import SCHEDULE, WARMUP, Decision, PromotingPruner, is_paused
from sweep.search.racer import Racer
from sweep.search.racing import OPENING, RacingPruner


@dataclass
class PromotionAsha(PromotingPruner):
    """Trials pause at each rung. In a free slot the best paused one in `factor` of the highest
    rung that has one goes on, and otherwise a new point. If no trial has completed in the end, the
    one that got furthest does."""

    factor: int = 3

    def decide(self, study: Study, trial: FrozenTrial) -> Decision:  # noqa: ARG002
        steps = sorted(trial.intermediate_values)
        before = steps[-2] if len(steps) > 1 else 0
        passed = steps[-1] > trial.user_attrs.get(WARMUP, 0) and self._rung(steps[-1]) > self._rung(before)
        return Decision.PAUSE if passed else Decision.GO_ON

    def promote(self, study: Study, *, new: bool) -> int | None:
        trials = study.get_trials(deepcopy=False)
        paused = [trial for trial in trials if is_paused(trial)]
        for rung in sorted({self._rung(_last(trial)) for trial in paused}, reverse=True):
            there = sorted(
                (trial for trial in trials if self._rung(_last(trial)) >= rung),
                key=lambda trial: -_first_at(trial, self.factor**rung),
            )
            for trial in there[: len(there) // self.factor]:
                if trial in paused and self._rung(_last(trial)) == rung:
                    return trial.number
        return None if new else _furthest(trials, paused)

    def _rung(self, step: int) -> int:
        """Return the highest rung up to `step`; -1 before the first one, at report step 1."""
        return next(rung for rung in range(-1, 64) if self.factor ** (rung + 1) > step)


@dataclass
class FreezeThaw(PromotingPruner):
    """Each trial pauses at its first evaluation after the warmup, and at each later one. When all
    points have begun, the trial that is predicted to end highest goes on while trained rows are
    less than `budget`, a share of all rows; at least one completes.

    The prediction is the line through the last two scores over 1 / sqrt(report steps), at the end
    of the trial.
    """

    budget: float = 0.2

    def decide(self, study: Study, trial: FrozenTrial) -> Decision:  # noqa: ARG002
        return Decision.GO_ON if _last(trial) <= trial.user_attrs.get(WARMUP, 0) else Decision.PAUSE

    def promote(self, study: Study, *, new: bool) -> int | None:
        trials = study.get_trials(deepcopy=False)
        paused = [trial for trial in trials if is_paused(trial)]
        if new or not paused:
            return None
        spent = sum(map(_last, trials))
        whole = sum(trial.user_attrs.get(SCHEDULE, _last(trial)) for trial in trials)
        if spent < self.budget * whole:
            return max(paused, key=lambda trial: (_predicted(trial), -trial.number)).number
        return _furthest(trials, paused)


class RungRace(RacingPruner):
    """Racing by its rule for scores that are all there is, on losses: the trials are compared at
    equal progress, wait at rungs, and nothing is predicted."""

    def _opening_of(self, racers: Sequence[Racer]) -> float:  # noqa: ARG002
        return OPENING

    def _by_prediction(self, racers: Sequence[Racer], asking: int | None) -> list[int]:
        return self._by_score(racers, asking)


def _furthest(trials: list[FrozenTrial], paused: list[FrozenTrial]) -> int | None:
    """Return the paused trial that got furthest, where no other one is left to complete."""
    if any(trial.state in (TrialState.COMPLETE, TrialState.RUNNING) and trial not in paused for trial in trials):
        return None
    return max(paused, key=lambda one: (_last(one), one.intermediate_values[_last(one)]), default=trials[0]).number


def _last(trial: FrozenTrial) -> int:
    return max(trial.intermediate_values, default=0)


def _first_at(trial: FrozenTrial, step: int) -> float:
    return trial.intermediate_values[min(found for found in trial.intermediate_values if found >= step)]


def _predicted(trial: FrozenTrial) -> float:
    steps = sorted(trial.intermediate_values)
    last = trial.intermediate_values[steps[-1]]
    if len(steps) == 1:
        return last
    low, high, end = (step**-0.5 for step in (steps[-2], steps[-1], trial.user_attrs[SCHEDULE]))
    slope = (last - trial.intermediate_values[steps[-2]]) / (low - high)
    return last + max(0.0, slope) * (high - end)
