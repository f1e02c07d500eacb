"""A race of trials that pause and go on: the default pruner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil

from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sweep.search.promotion import Decision, PromotingPruner
from sweep.search.racer import Racer, lead, ranked
from sweep.search.stopping_race import FINALISTS, StoppingRace

BUDGET = 0.35
_LATE = 0.5  # the progress from which scores are compared instead of losses


class RacingPruner(PromotingPruner):
    """Trains all trials a little, the best some more, and as many to their end as `budget` allows.

    Trials are compared by their losses at equal progress of their schedules: the sum of their
    learning rates so far, as a share of the sum over the schedule (`search/progress.py`). Two
    trials are compared at the furthest progress that both have reached; between evaluations the
    curve is interpolated. A trial is therefore not compared before its own curve has come as far
    as another one's did, whatever its warmup and its length.

    1. Each trial trains until the progress `opening`, and pauses.
    2. When all `trials` of the study have, the best one in `reduction_factor` train on to the
       progress `second`, and pause.
    3. The best trial trains to its end; so do the next best ones, as long as their rows fit the
       `budget`, a share of the rows of all trials at full length. One that is behind the best
       completed trial at the same progress pauses again, and the next one goes on in its place.

    At least `finalists` trials complete whatever they cost. Trials that cannot be paused are
    stopped for good by the rule of `StoppingRace`, to which `min_resource` belongs.

    Comparing at equal progress is this project's own. The rungs are those of successive halving;
    trials that wait at a rung and are promoted later are from asynchronous successive halving (Li
    et al. 2020), and going on with the most promising frozen curve is from freeze-thaw (Swersky et
    al. 2014).
    """

    def __init__(
        self,
        min_resource: int = 1,
        reduction_factor: float | None = None,
        finalists: int | None = None,
        trials: int = 10,
        budget: float = BUDGET,
        opening: float = 0.03,
        second: float = 0.3,
    ) -> None:
        for name, share in (("budget", budget), ("opening", opening), ("second", second)):
            if not 0 < share <= 1:
                raise ValueError(f"{name} is {share}, but must be above 0 and at most 1")
        self.stopping = StoppingRace(min_resource, reduction_factor or 3, finalists or FINALISTS)
        self.finalists = finalists or 1
        self._reduction_factor = reduction_factor or 4
        self._trials = trials
        self._budget = budget
        self._opening, self._second = opening, max(opening, second)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        return self.stopping.prune(study, trial)

    def decide(self, study: Study, trial: FrozenTrial) -> Decision:
        trials = [trial if other.number == trial.number else other for other in _begun(study)]
        racers = _racers(study, trials)
        new = len(trials) < self._trials and not any(racer.went_on(self._opening) for racer in racers)
        asking = next(racer for racer in racers if racer.number == trial.number)
        others = [racer for racer in racers if racer is not asking]
        going = self._candidates([*others, replace(asking, running=False, paused=True)], asking.number, new=new)
        return Decision.GO_ON if asking.number in going else Decision.PAUSE

    def promote(self, study: Study, *, new: bool) -> int | None:
        return next(iter(self._candidates(_racers(study, _begun(study)), new=new)), None)

    def _candidates(self, racers: Sequence[Racer], asking: int | None = None, *, new: bool) -> list[int]:
        """Return the paused trials that may train now, the best first. The one that is `asking`
        has trained until now, and is first among those that train to their ends."""
        unopened = [racer for racer in racers if racer.unfinished and racer.reached < self._opening]
        if new or unopened:
            return [racer.number for racer in unopened if racer.paused]
        order = ranked(racers)
        first = order[: ceil(max(self._trials, len(order)) / self._reduction_factor)]
        if behind := [racer for racer in first if racer.unfinished and racer.reached < self._second]:
            return [racer.number for racer in behind if racer.paused]
        return self._finals(sorted(order, key=lambda racer: not (racer.number == asking and self._is_final(racer))))

    def _finals(self, order: Sequence[Racer]) -> list[int]:
        """Return the paused trials that train to their ends, in the given order."""
        completed = [racer for racer in order if racer.complete]
        best = max(completed, key=lambda racer: racer.best, default=None)
        budget = self._budget * sum(racer.length for racer in order) * max(1.0, self._trials / len(order))
        spent = sum(racer.trained + (racer.left if racer.running else 0) for racer in order)
        count = len(completed) + sum(racer.running for racer in order)
        beaten = [racer for racer in order if best is not None and racer.paused and self._is_behind(racer, best)]
        found = []
        for racer in (*(racer for racer in order if racer.paused and racer not in beaten), *beaten):
            wanted = count < self.finalists
            if wanted or (spent + racer.left <= budget and racer not in beaten):
                found.append(racer.number)
                spent, count = spent + racer.left, count + 1
        return found

    def _is_final(self, racer: Racer) -> bool:
        """Return whether a trial has gone on after `second`, on the way to its end."""
        return racer.went_on(self._second)

    def _is_behind(self, racer: Racer, best: Racer) -> bool:
        return self._is_final(racer) and (lead(racer, best, late=_LATE) or 0.0) < 0


def _begun(study: Study) -> list[FrozenTrial]:
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state is not TrialState.WAITING]


def _racers(study: Study, trials: Sequence[FrozenTrial]) -> list[Racer]:
    sign = 1 if study.direction == StudyDirection.MAXIMIZE else -1
    longest = max((step for trial in trials for step in trial.intermediate_values), default=1)
    return [Racer.of(trial, sign=sign, longest=longest) for trial in trials if trial.state is not TrialState.FAIL]
