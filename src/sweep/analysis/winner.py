"""The best trial, and the same point trained again from scratch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sweep.analysis.facts import Facts, Point
from sweep.analysis.folds import first_fold
from sweep.analysis.observations import Agreement, Fit, Movement, agreement, fit, movement
from sweep.analysis.trials import Evaluations, evaluations
from sweep.config.metrics import evaluated
from sweep.config.schema import Scalar
from sweep.records.cost import Cost
from sweep.records.final import FinalRecord, Refit
from sweep.records.trial import EvalPoint


@dataclass(frozen=True, slots=True)
class Pair:
    """One metric at one evaluation of the trial and of its retraining; None where one of them
    lacks it."""

    trial: float | None
    retrained: float | None
    difference: float | None


@dataclass(frozen=True, slots=True)
class SideBySide:
    """The same evaluation measured twice, by metric."""

    epoch: float
    step: int
    metrics: Mapping[str, Pair]


@dataclass(frozen=True, slots=True)
class Retraining:
    """The winner trained again with the same values and seed. `equal_epochs` are those of
    evaluations that share the best score, where there are several. `packed_trial` says that the
    trial was trained in a pack and this one alone, and `as_packed` that it dropped the values that
    the trial had dropped there. `plain_loss`: its training loss weighs all rows and labels
    alike, and does not smooth them."""

    params: Mapping[str, Scalar]
    used: Mapping[str, Scalar]
    trial_best: EvalPoint
    best: EvalPoint
    cost: Cost
    metrics: tuple[str, ...]
    side_by_side: tuple[SideBySide, ...]
    agreement: Agreement | None
    packed_trial: bool
    as_packed: bool
    evaluations: Evaluations
    movement: Movement
    fit: Fit
    equal_epochs: tuple[float, ...]
    tracker_run: str
    command: str
    refit: Refit | None
    plain_loss: bool = True


@dataclass(frozen=True, slots=True)
class Winner:
    """The trial that won, or, before it was retrained, the best one so far."""

    number: int
    params: Mapping[str, Scalar]
    used: Mapping[str, Scalar]
    score: float | None
    epoch: float | None
    movement: Movement
    fit: Fit
    retraining: Retraining | None


@dataclass(frozen=True, slots=True)
class Overtaken:
    """Another trial than the retrained one is the best: one that was added since, or, in a run
    directory of a version that broke ties in another way, one with the `same` score."""

    number: int
    score: float | None
    same: bool


def winner(facts: Facts) -> Winner | None:
    """Return the winner; None where no trial has completed and none was retrained."""
    final, held = facts.final, facts.winner
    number = final.number if final else held.number if held else None
    if number is None:
        return None
    points = facts.points.get(number, ())
    best = final.trial_best if final else facts.best_eval(held) if held else None
    return Winner(
        number=number,
        params=final.params if final else held.params if held else {},
        used=held.used if held else {},
        score=best.metrics.get(facts.metric) if best else None,
        epoch=best.epoch if best else None,
        movement=movement(points, facts.metric, maximize=facts.maximize),
        fit=fit(points, comparable=facts.plain_loss(final.params if final else held.params if held else {})),
        retraining=_retraining(facts, final) if final else None,
    )


def overtaken(facts: Facts) -> Overtaken | None:
    """Return the trial that would win now; None where it is the one that was retrained."""
    best, final = facts.best, facts.final
    if final is None or best is None or best.number == final.number or final.confirmation:
        return None
    same = facts.winner is not None and facts.score(facts.winner) == facts.score(best)
    return Overtaken(best.number, facts.score(best), same)


def _retraining(facts: Facts, final: FinalRecord) -> Retraining:
    again, folded = facts.retrained, facts.config.dataset.folds is not None
    trial = (
        first_fold(final.trial_evals, facts.metric) if folded else tuple(Point(one, None) for one in final.trial_evals)
    )
    names = (facts.metric,) if folded else tuple(dict.fromkeys(["eval/loss", facts.metric]))
    packed = facts.winner is not None and facts.winner.outcome.cost.engine == "packed"
    return Retraining(
        params=final.params,
        used=facts.winner.used if facts.winner else {},
        trial_best=final.trial_best,
        best=final.retrain_best,
        cost=final.cost,
        metrics=names,
        side_by_side=_side_by_side(names, trial, again),
        agreement=agreement(trial, again, evaluated(facts.config)),
        packed_trial=packed and final.cost.engine != "packed",
        as_packed=final.as_packed,
        evaluations=evaluations(facts, again),
        movement=movement(again, facts.metric, maximize=facts.maximize),
        fit=fit(again, comparable=facts.plain_loss(final.params)),
        plain_loss=facts.plain_loss(final.params),
        equal_epochs=_equal_epochs(again, facts.metric, final.retrain_best),
        tracker_run=facts.run_address(final.tracker_run),
        command=final.command,
        refit=_refit(facts, final.refit),
    )


def _refit(facts: Facts, refit: Refit | None) -> Refit | None:
    return replace(refit, tracker_run=facts.run_address(refit.tracker_run)) if refit else None


def _side_by_side(
    names: tuple[str, ...], trial: tuple[Point, ...], retrain: tuple[Point, ...]
) -> tuple[SideBySide, ...]:
    """Return the evaluations side by side. A training that ended sooner leaves its side empty."""
    rows = []
    for index in range(max(len(trial), len(retrain))):
        first = trial[index] if index < len(trial) else None
        second = retrain[index] if index < len(retrain) else None
        known = (first or second or trial[0]).eval
        rows.append(SideBySide(known.epoch, known.step, {name: _pair(name, first, second) for name in names}))
    return tuple(rows)


def _pair(name: str, first: Point | None, second: Point | None) -> Pair:
    before, after = (point.metric(name) if point else None for point in (first, second))
    return Pair(before, after, after - before if before is not None and after is not None else None)


def _equal_epochs(points: tuple[Point, ...], metric: str, best: EvalPoint) -> tuple[float, ...]:
    """Return the epochs with the best score; empty where one evaluation alone has it."""
    found = tuple(point.eval.epoch for point in points if point.metric(metric) == best.metrics.get(metric))
    return found if len(found) > 1 else ()
