"""The best trial, and the same point trained again from scratch."""

from __future__ import annotations

from collections.abc import Set

from sweep.records.final import FinalRecord
from sweep.report import tables
from sweep.report.facts import Facts, Point
from sweep.report.markdown import bullets, code, details, escape, figure, join, table
from sweep.report.observations import agreement, course, equal_evaluations, fit
from sweep.report.search import tracked
from sweep.report.units import count, plural, rate, score, searched_value, seconds


def winner(facts: Facts, drawn: Set[str]) -> str:
    picture = figure("winner", "The winner's losses and scores by step") if "winner" in drawn else ""
    if facts.final:
        return _retrained(facts, facts.final, picture)
    best = facts.best
    if best is None:
        return ""
    title = "## The training so far" if facts.alone else f"## The best trial so far: {best.number}"
    return join([title, _said(facts, facts.points[best.number]), picture])


def _retrained(facts: Facts, final: FinalRecord, picture: str) -> str:
    title = "## The training, twice" if facts.alone else f"## The winner, trial {final.number}, and its retraining"
    trial, again = tuple(Point(found, None) for found in final.trial_evals), facts.retrained
    used = facts.winner.used if facts.winner else {}
    values = [[code(key), escape(searched_value(final.params, used, key))] for key in final.params]
    beside, every = tables.side_by_side(facts, trial, again), tables.evaluations(facts, again)
    agreed = f"{_engines(facts, final)}{agreement(trial, again)}"
    if facts.alone:
        shown = [every, agreed, details("Both trainings side by side", body=[beside])]
    else:
        shown = [beside, agreed, details("Every score of the retraining", body=[every])]
    return join(
        [
            title,
            table(["hyperparameter", "value"], values) if values else "",
            _kept(final),
            *shown,
            picture,
            "### How training went",
            _said(facts, again),
            equal_evaluations(again, facts.metric, final.retrain_best),
            "Training loss is averaged over the steps before an evaluation, with dropout on, so it can lie above "
            "eval/loss while the model learns quickly.",
            tracked(facts, final.tracker_run),
            *_refit(facts, final),
        ]
    )


def _refit(facts: Facts, final: FinalRecord) -> list[str]:
    refit, best = final.refit, final.retrain_best
    if refit is None:
        return []
    cost = refit.cost
    loss = f", mean training loss {score(cost.train_loss)}" if cost.train_loss is not None else ""
    length = (
        f"all {count(refit.steps)} steps of its schedule"
        if refit.steps == refit.total_steps
        else f"{count(refit.steps)} of the {count(refit.total_steps)} steps of its schedule"
    )
    said = (
        f"The same configuration was then trained from scratch, with the same seed, on train and validation rows together: "
        f"{count(refit.rows)} rows, {length}, since the retraining was best at epoch {best.epoch:.4g}; "
        f"{seconds(cost.seconds)}{loss}. It was never evaluated on validation, whose rows it was trained on. This model read "
        f"the test split, and is the one in {code('final/model')}."
    )
    return ["### The refit", said, tracked(facts, refit.tracker_run)]


def _engines(facts: Facts, final: FinalRecord) -> str:
    """Where the trial was packed and its retraining was not: what they share, and what may differ."""
    if facts.winner is None or facts.winner.outcome.cost.engine != "packed" or final.cost.engine == "packed":
        return ""
    dropout = (
        "It dropped the same values, so that only rounding differs. "
        if final.as_packed
        else "Dropout draws other numbers there; without dropout only rounding differs. "
    )
    return (
        "The trial was packed with others, and the retraining ran alone on the Trainer engine, from the same initial weights "
        f"with the same rows in the same order. {dropout}"
    )


def _kept(final: FinalRecord) -> str:
    cost, best = final.cost, final.retrain_best
    loss = f", mean training loss {score(cost.train_loss)}" if cost.train_loss is not None else ""
    model, those = ("Its validation scores are", "those") if final.refit else ("The model kept is", "that")
    return (
        f"It was trained again from scratch with the same values and seed: {count(cost.steps)} steps on "
        f"{count(cost.samples)} rows in {seconds(cost.seconds)}{loss}; {rate(cost.samples_per_second)} rows and "
        f"{rate(cost.steps_per_second)} steps a second while training. {model} {those} of epoch {best.epoch:.4g} "
        f"(step {count(best.step)}), the best of {plural(len(final.retrain_evals), 'evaluation')}."
    )


def _said(facts: Facts, points: tuple[Point, ...]) -> str:
    return bullets([*course(points, facts.metric, maximize=facts.maximize), *fit(points)])
