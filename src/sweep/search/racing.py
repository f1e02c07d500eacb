"""A race of trials that pause and go on: the default pruner."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from math import ceil, inf

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from sweep.search.last_losses import KnownLastLosses, log_loss
from sweep.search.promotion import Decision, PromotingPruner
from sweep.search.racer import KnownRacers, Racer, lead
from sweep.search.racing_budget import BUDGET
from sweep.search.ranking import Ranking
from sweep.search.stopping_race import FINALISTS, StoppingRace

_SHARE_AT_ONCE = 0.5  # of the rows that are left: the most that trials which train together may take
# Of a predicted loss: a trial does not train that is predicted higher by more than so many,
_HOPELESS_DEVIATIONS = 1.25  # than the lowest loss of any completed trial, or
_BEHIND_DEVIATIONS = 0.25  # than the lowest prediction
# Where trials are compared by their scores:
OPENING, _SECOND = 0.03, 0.3  # progress
_LATE = 0.5  # the progress from which scores are compared instead of losses


class RacingPruner(PromotingPruner):
    """Trains all trials a little, and those that promise most to their ends, as many as `budget`
    allows.

    1. Each trial trains until its first evaluation from the progress `opening` on, and pauses.
    2. When all `trials` of the study have, a model of all learning curves predicts their last
       losses (`search/last_losses.py`). The trials with the lowest ones train on, as long as
       their rows fit the `budget`, a share of the rows of all trials at full length.
       Those that train together get half of the rows that are left; the others are chosen when
       the first ones have shown how their curves go on.
    3. Each further evaluation corrects the predictions. A trial waits while another one is
       predicted lower by more than a quarter of the deviation of its own prediction: one that
       trains pauses again, and the other goes on in its place. A trial trains no further if its
       predicted loss is higher than the lowest loss of any completed trial, by more than one and a
       quarter of these deviations.
    4. In the end a trial completes that is scored higher already than all that have completed: the
       highest of those, whatever it costs. A trial is scored by its best evaluation, which may be
       its first one, and losses say nothing about it.

    At least `finalists` trials complete whatever they cost. Trials that cannot be paused are
    stopped for good by the rule of `StoppingRace`, to which `min_resource` belongs.

    Where losses cannot be compared, the scores are, at equal progress of the trials' schedules:
    the sum of their learning rates so far as a share of the sum over the schedule
    (`search/progress.py`). Two trials are compared at the furthest progress that both have
    reached; between evaluations the curve is interpolated. The opening is then at 3 % of the
    progress, the best trials, one in `reduction_factor`, train on to 30 %, and the best of these
    to their ends. One that is behind the best completed trial at the same progress pauses again.

    The predictions are a form of freeze-thaw (Swersky et al. 2014), which goes on with the most
    promising frozen curve. The rungs are those of successive halving; trials that wait at a rung
    and are promoted later are from asynchronous successive halving (Li et al. 2020).
    """

    def __init__(
        self,
        min_resource: int = 1,
        reduction_factor: float | None = None,
        finalists: int | None = None,
        trials: int = 10,
        budget: float = BUDGET,
        opening: float | None = None,
    ) -> None:
        for name, share in (("budget", budget), ("opening", opening)):
            if share is not None and not 0 < share <= 1:
                raise ValueError(f"{name} is {share}, but must be above 0 and at most 1")
        self.stopping = StoppingRace(
            min_resource,
            3 if reduction_factor is None else reduction_factor,
            FINALISTS if finalists is None else finalists,
        )
        self.finalists = 1 if finalists is None else finalists
        self._reduction_factor = 4 if reduction_factor is None else reduction_factor
        self._trials = trials
        self._budget = budget
        self._opening = opening
        # By the number of the first trial: those of each choice of study.compare_by have their own.
        self._rankings: defaultdict[int, Ranking] = defaultdict(Ranking)
        self._last_losses: defaultdict[int, KnownLastLosses] = defaultdict(KnownLastLosses)
        self._racers = KnownRacers()

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        return self.stopping.prune(study, trial)

    def decide(self, study: Study, trial: FrozenTrial) -> Decision:
        trials = [trial if other.number == trial.number else other for other in _begun(study)]
        racers = self._racers.of(trials, study.direction)
        opening = self._opening_of(racers)
        new = len(trials) < self._trials and not any(racer.went_on(opening) for racer in racers)
        asking = next(racer for racer in racers if racer.number == trial.number)
        others = [racer for racer in racers if racer is not asking]
        going = self._candidates([*others, replace(asking, running=False, paused=True)], asking.number, new=new)
        return Decision.GO_ON if asking.number in going else Decision.PAUSE

    def promote(self, study: Study, *, new: bool) -> int | None:
        return next(iter(self._candidates(self._racers.of(_begun(study), study.direction), new=new)), None)

    def _opening_of(self, racers: Sequence[Racer]) -> float:
        """Return the progress of the opening. A first evaluation is enough for a prediction."""
        return self._opening or (0.0 if _have_losses(racers) else OPENING)

    def _candidates(self, racers: Sequence[Racer], asking: int | None = None, *, new: bool) -> list[int]:
        """Return the paused trials that may train now, the best first. The one that is `asking`
        has trained until now."""
        opening = self._opening_of(racers)
        unopened = [racer for racer in racers if racer.unfinished and (not racer.steps or racer.reached < opening)]
        if new or unopened:
            return [racer.number for racer in unopened if racer.paused]
        return self._by_prediction(racers, asking) if _have_losses(racers) else self._by_score(racers, asking)

    def _by_prediction(self, racers: Sequence[Racer], asking: int | None) -> list[int]:
        at_once = _SHARE_AT_ONCE if asking is None else 1.0
        if not self._finals(racers, (), asking, at_once=at_once):  # none fits the budget, in whatever order
            return _best_scored(racers)
        predicted = self._last_losses[_first(racers)].of(racers)
        # The lowest loss of any evaluation, though the last one is predicted.
        least = min((log_loss(max(racer.scores)) for racer in racers if racer.complete and racer.steps), default=inf)
        means = {number: loss.mean for number, loss in predicted.items()}
        lowest = min(means.values(), default=inf)
        limits = {
            number: min(least + _HOPELESS_DEVIATIONS * loss.deviation, lowest + _BEHIND_DEVIATIONS * loss.deviation)
            for number, loss in predicted.items()
        }
        beaten = {racer.number for racer in racers if means.get(racer.number, inf) > limits.get(racer.number, -inf)}
        order = sorted(racers, key=lambda racer: (means.get(racer.number, inf), racer.number))
        finals = self._finals(order, beaten, asking, at_once=at_once)
        return finals or _best_scored(racers)

    def _by_score(self, racers: Sequence[Racer], asking: int | None) -> list[int]:
        order = self._rankings[_first(racers)].of(racers)
        first = order[: ceil(max(self._trials, len(order)) / self._reduction_factor)]
        if behind := [racer for racer in first if racer.unfinished and racer.reached < _SECOND]:
            return [racer.number for racer in behind if racer.paused]
        best = max((racer for racer in order if racer.complete), key=lambda racer: racer.best, default=None)
        beaten = {racer.number for racer in order if best is not None and racer.paused and _is_behind(racer, best)}
        order.sort(key=lambda racer: not (racer.number == asking and racer.went_on(_SECOND)))
        return self._finals(order, beaten, asking)

    def _finals(
        self, order: Sequence[Racer], beaten: Collection[int], asking: int | None, *, at_once: float = 1.0
    ) -> list[int]:
        """Return the paused trials that train to their ends: those that fit the budget, in the
        given order, without those that are `beaten`. Trials that train together get no more than
        the share `at_once` of the rows that the budget has left; one may always train.

        If fewer than `finalists` complete so, others follow: first the one that is `asking`, if it
        went on after the opening; those that are `beaten` come last."""
        budget = self._budget * sum(racer.length for racer in order) * max(1.0, self._trials / len(order))
        left = budget - sum(racer.trained for racer in order)
        promised = sum(racer.left for racer in order if racer.running)
        count = sum(racer.complete or racer.running for racer in order)
        found, others = list[int](), list[Racer]()
        for racer in (racer for racer in order if racer.paused):
            together = promised + racer.left
            if racer.number not in beaten and together <= (at_once * left if promised else left):
                found.append(racer.number)
                promised = together
            else:
                others.append(racer)
        others.sort(key=lambda racer: (racer.number != asking or len(racer.steps) < 2, racer.number in beaten))
        return found + [racer.number for racer in others[: max(0, self.finalists - count - len(found))]]


def _is_behind(racer: Racer, best: Racer) -> bool:
    """Return whether a trial on the way to its end is behind the best completed one."""
    return racer.went_on(_SECOND) and (lead(racer, best, late=_LATE) or 0.0) < 0


def _best_scored(racers: Sequence[Racer]) -> list[int]:
    """Return the paused trial with the highest score, if no trial runs and none that has completed
    is scored as high."""
    if any(racer.running for racer in racers):
        return []
    scored = [racer for racer in racers if racer.steps and (racer.paused or racer.complete)]
    best = max(scored, key=lambda racer: (racer.best, racer.complete), default=None)
    return [best.number] if best is not None and best.paused else []


def _have_losses(racers: Sequence[Racer]) -> bool:
    return all(racer.by_loss for racer in racers)


def _begun(study: Study) -> list[FrozenTrial]:
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state is not TrialState.WAITING]


def _first(racers: Sequence[Racer]) -> int:
    return min(racer.number for racer in racers)
