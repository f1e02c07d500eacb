"""The best trial, and the same point trained again from scratch."""

from __future__ import annotations

from collections.abc import Set

from sweep.report import tables
from sweep.report.facts import Facts, Point
from sweep.report.markdown import bullets, code, escape, figure, join, table
from sweep.report.observations import agreement, course, fit
from sweep.report.units import count, plural, rate, score, seconds, value


def winner(facts: Facts, drawn: Set[str]) -> str:
    final = facts.final
    picture = figure("winner", "The winner's losses and scores by step") if "winner" in drawn else ""
    if final is None:
        best = facts.best
        if best is None:
            return ""
        points = facts.points[best.number]
        said = bullets([*course(points, facts.metric, maximize=facts.maximize), *fit(points)])
        return join([f"## The best trial so far: {best.number}", said, picture])
    trial = _with_losses(facts, final.number, tuple(Point(found, None) for found in final.trial_evals))
    retrain = tuple(Point(found, None) for found in final.retrain_evals)
    kept = f"The model kept is that of epoch {final.retrain_best.epoch:.4g} (step {count(final.retrain_best.step)})"
    cost = final.cost
    trained = f"{count(cost.steps)} steps on {count(cost.samples)} rows in {seconds(cost.seconds)}"
    loss = f", mean training loss {score(cost.train_loss)}" if cost.train_loss is not None else ""
    return join(
        [
            f"## The best trial, {final.number}, and its retraining",
            table(
                ["hyperparameter", "value"],
                [[code(k), escape(value(v))] for k, v in final.params.items()],
            ),
            f"{kept}, of {plural(len(retrain), 'evaluation')}. Retraining took {trained}{loss}; "
            f"{rate(cost.samples, cost.train_seconds)} rows and {rate(cost.steps, cost.train_seconds)} steps a second "
            "while training.",
            tables.side_by_side(facts, trial, retrain),
            agreement(trial, retrain),
            picture,
            "### How training went",
            bullets(
                [
                    *course(retrain, facts.metric, maximize=facts.maximize),
                    *fit(_losses_beside(trial, retrain)),
                ]
            ),
            "Training loss is averaged over the steps before an evaluation, with dropout on, so it can lie above "
            "eval/loss while the model learns quickly.",
        ]
    )


def _with_losses(facts: Facts, number: int, recorded: tuple[Point, ...]) -> tuple[Point, ...]:
    """The trial's own points, which carry training losses, where they are the recorded evaluations."""
    known = facts.points.get(number, ())
    return known if [point.eval for point in known] == [point.eval for point in recorded] else recorded


def _losses_beside(trial: tuple[Point, ...], retrain: tuple[Point, ...]) -> tuple[Point, ...]:
    """The retraining's evaluations with the trial's training losses: only the trial's are kept step by step."""
    losses = {point.eval.step: point.train_loss for point in trial}
    return tuple(Point(point.eval, losses.get(point.eval.step)) for point in retrain)
