"""Observations of one training: its end, the movement of its score, and its two losses."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, TypeGuard

from sweep.analysis.facts import Point
from sweep.records.trial import Completed, Failed, Pruned, TrialRecord

STILL_IMPROVING = 0.1  # share of the whole gain that the last evaluation must bring to be called that
LOSS_TURN = 0.01  # rise of the evaluation loss, relative to its lowest, from which it is called a turn
WIDE_GAP = 0.1  # share of the evaluation loss by which the training loss must lie below it to be worth a warning


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a trial. `evaluation` is the number of its last evaluation; None where it reached
    none."""

    kind: Literal["completed", "stopped_early", "pruned", "paused", "given_up", "failed"]
    evaluation: int | None
    steps: int
    total_steps: int
    reason: str | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Scored:
    """The value of a metric at one evaluation; `index` counts from 1."""

    index: int
    value: float


@dataclass(frozen=True, slots=True)
class Plateau:
    """The gain of the last evaluation. `kind` is `past_best` where it is not the best one,
    `too_few` where only two were counted, `improving` where it brought at least a tenth of the
    whole gain, and `level` otherwise.

    `gain` is the last value less the best one before it; `whole` is the gain over the evaluations
    counted. Evaluations within the first epoch are left out where at least two come after it
    (`since_first_epoch`): beside the first steps every later gain is small.
    """

    kind: Literal["past_best", "too_few", "improving", "level"]
    gain: float
    whole: float
    behind_best: float
    since_first_epoch: bool


@dataclass(frozen=True, slots=True)
class Movement:
    """The movement of a metric over the evaluations. `evaluations` counts all of them, `scored`
    those with a finite value, and `not_finite` holds the numbers of the others. `plateau` is None
    for a trial that was pruned: longer training would not help it."""

    metric: str
    evaluations: int
    not_finite: tuple[int, ...]
    scored: int
    constant: bool = False
    first: Scored | None = None
    last: Scored | None = None
    best: Scored | None = None
    best_times: int = 0
    plateau: Plateau | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn of `eval/loss`. `overfits` if its last value lies above its lowest by more than one
    percent; `rise` is the difference. `above_training` is the distance to the training loss at the
    end, where that is wide and grew."""

    overfits: bool
    lowest: Scored
    last: Scored
    rise: float
    above_training: float | None


@dataclass(frozen=True, slots=True)
class Gap:
    """`eval/loss` less the training loss, at the first and the last evaluation that have both.
    Above 0, the rows that are trained on are fitted better than new ones."""

    first: Scored
    last: Scored
    evaluation_loss: float
    training_loss: float


@dataclass(frozen=True, slots=True)
class Fit:
    """The relation of the two losses; each part is None where there are too few evaluations."""

    turn: Turn | None = None
    gap: Gap | None = None


@dataclass(frozen=True, slots=True)
class Agreement:
    """The repeat of the trial by the retraining: the largest difference over the metrics of the
    evaluations that both have, `compared` values in all."""

    compared: int
    common_evaluations: int
    largest: float
    metric: str
    evaluation: int
    trial_evaluations: int
    retrained_evaluations: int


def ending(trial: TrialRecord, points: Sequence[Point], *, folds: int | None = None) -> Ending:
    """Return how the trial ended; with `folds` the steps are those of the first one."""
    at = points[-1].eval.index if points else None
    steps = max(trial.steps_taken(folds) // (folds or 1), points[-1].eval.step if points else 0)
    match trial.outcome:
        case Completed(stopped_early=early):
            return Ending("stopped_early" if early else "completed", at, steps, trial.total_steps)
        case Pruned():
            paused = trial.pauses > trial.promotions
            return Ending("paused" if paused else "pruned", at, steps, trial.total_steps)
        case Failed(reason=reason, message=message, given_up=given_up, excess=excess):
            kind: Literal["given_up", "failed"] = "given_up" if given_up else "failed"
            return Ending(kind, at, steps, trial.total_steps, "beyond_limit" if excess else str(reason), message)


def movement(points: Sequence[Point], metric: str, *, maximize: bool, ended: bool = True) -> Movement:
    """Return how the metric moved. `ended` is False for a trial that was pruned."""
    found = [(point.eval.index, value) for point in points if (value := point.metric(metric)) is not None]
    broken = tuple(index for index, value in found if not math.isfinite(value))
    series = [Scored(index, value) for index, value in found if math.isfinite(value)]
    if not series:
        return Movement(metric, len(points), broken, 0)
    constant, best = len({one.value for one in series}) == 1, _best(series, maximize)
    begun = {point.eval.index for point in points if point.eval.epoch < 1}
    later = [one for one in series if one.index not in begun]
    return Movement(
        metric=metric,
        evaluations=len(points),
        not_finite=broken,
        scored=len(series),
        constant=constant,
        first=series[0],
        last=series[-1],
        best=best,
        best_times=sum(one.value == best.value for one in series),
        plateau=_plateau(series, later, maximize) if ended and not constant else None,
    )


def fit(points: Sequence[Point], *, comparable: bool = True) -> Fit:
    """Return whether the evaluation loss turned, and how its distance to the training loss moved.
    The two are not `comparable` where the training loss weighs labels or rows, or smooths
    labels."""
    series = [Scored(point.eval.index, loss) for point in points if finite(loss := point.metric("eval/loss"))]
    if len(series) < 2:
        return Fit()
    gap = _gap(points) if comparable else None
    return Fit(_turn(series, gap), gap)


def agreement(trial: Sequence[Point], retrain: Sequence[Point], metrics: Collection[str]) -> Agreement | None:
    """Return the largest difference in these metrics; None without a common value."""
    pairs = [
        (abs(again.eval.metrics[name] - value), name, point.eval.index)
        for point, again in zip(trial, retrain, strict=False)
        for name, value in point.eval.metrics.items()
        if name in metrics and finite(again.metric(name)) and math.isfinite(value)
    ]
    if not pairs:
        return None
    largest, name, index = max(pairs)
    return Agreement(len(pairs), min(len(trial), len(retrain)), largest, name, index, len(trial), len(retrain))


def finite(value: float | None) -> TypeGuard[float]:
    """Return whether there is a value, and it is no NaN or infinity."""
    return value is not None and math.isfinite(value)


def _plateau(series: Sequence[Scored], later: Sequence[Scored], maximize: bool) -> Plateau:
    best, last = _best(series, maximize), series[-1]
    counted = later if len(later) > 1 else series
    since, behind = len(counted) < len(series), abs(best.value - last.value)
    if best.index != last.index:
        return Plateau("past_best", 0.0, 0.0, behind, since)
    whole = abs(best.value - counted[0].value)
    if len(counted) == 2:
        return Plateau("too_few", last.value - counted[0].value, whole, behind, since)
    before = _best(counted[:-1], maximize).value
    improving = abs(best.value - before) >= STILL_IMPROVING * whole
    return Plateau("improving" if improving else "level", last.value - before, whole, behind, since)


def _turn(series: Sequence[Scored], gap: Gap | None) -> Turn:
    lowest, last = min(series, key=lambda one: one.value), series[-1]
    overfits = last.value > lowest.value * (1 + LOSS_TURN) and lowest.index != last.index
    wide = gap is not None and gap.last.value > max(WIDE_GAP * gap.evaluation_loss, gap.first.value)
    return Turn(overfits, lowest, last, last.value - lowest.value, gap.last.value if wide and gap else None)


def _gap(points: Sequence[Point]) -> Gap | None:
    """Return the gap; None below two evaluations that have both losses."""
    found = [
        (point.eval.index, loss, point.train_loss)
        for point in points
        if finite(loss := point.metric("eval/loss")) and point.train_loss is not None
    ]
    if len(found) < 2:
        return None
    (first, before, then), (last, loss, training) = found[0], found[-1]
    return Gap(Scored(first, before - then), Scored(last, loss - training), loss, training)


def _best(series: Sequence[Scored], maximize: bool) -> Scored:
    pick = max if maximize else min
    return pick(series, key=lambda one: one.value)
