"""The first lines: what won, how well it did on rows it had never seen, and what is still missing."""

from __future__ import annotations

from collections.abc import Mapping

from sweep.config.schema import Scalar
from sweep.records import Failed, FinalRecord, TrialRecord
from sweep.report.facts import Facts
from sweep.report.inference import wilson
from sweep.report.markdown import block, bullets, code, escape, join
from sweep.report.observations import lead
from sweep.report.tables import counted, ended, scores, shown_metrics
from sweep.report.units import count, plural, score, value


def headline(facts: Facts) -> str:
    table = ""
    if facts.final:
        table = scores(facts.final, shown_metrics(facts, [facts.final.retrain_best.metrics, facts.final.test]))
    return join([f"# {escape(facts.name)}", _winner(facts), table, bullets(_notes(facts)), _missing(facts)])


def proportion(facts: Facts) -> str:
    """The metric of this task that is a share of rows, so that an interval follows from their number."""
    return "subset_accuracy" if facts.multi_label else "accuracy"


def interval(facts: Facts, final: FinalRecord) -> str:
    """`test/accuracy 0.9351 (95 % interval 0.9258 to 0.9432, 3,080 rows)`."""
    name = f"test/{proportion(facts)}"
    measured = final.test.get(name)
    if measured is None:
        return ""
    low, high = wilson(measured, final.test_rows)
    return f"{name} {score(measured)} (95 % interval {score(low)} to {score(high)}, {count(final.test_rows)} rows)"


def _winner(facts: Facts) -> str:
    final, best = facts.final, facts.best
    if final:
        objective = f"{facts.metric} {score(final.trial_best.metrics.get(facts.metric))}"
        at = f"at epoch {final.trial_best.epoch:.4g} ({_params(final.params)})"
        sentence = f"**Trial {final.number} won** with {objective} {at}."
        rule = final.baseline.get(f"test/{proportion(facts)}")
        beside = f", where always guessing the most frequent answer reaches {score(rule)}" if rule is not None else ""
        return f"{sentence} Retrained from scratch, it scores **{interval(facts, final) or 'see below'}**{beside}."
    if best is None:
        return f"**No trial has completed**, so there is no winner: {ended(facts)}."
    found = facts.best_eval(best)
    at = f" at epoch {found.epoch:.4g}" if found else ""
    return f"**Trial {best.number} leads** with {facts.metric} {score(facts.score(best))}{at} ({_params(best.params)})."


def _notes(facts: Facts) -> list[str]:
    planned = f"{plural(len(counted(facts)), 'trial')} ended, {facts.study.n_trials} were planned: {ended(facts)}."
    notes = [planned, lead(facts)]
    if facts.final:
        readings = facts.final.test_readings
        once = (
            "once, after the winner was chosen"
            if readings == 1
            else f"{readings} times, because more trials were added"
        )
        notes.append(f"The test split ({count(facts.final.test_rows)} rows) was read {once}.")
        if facts.best and facts.best.number != facts.final.number:
            notes.append(
                f"Trial {facts.best.number} has since become the best ({score(facts.score(facts.best))}); "
                f"the final figures are still those of trial {facts.final.number}."
            )
    return [note for note in notes if note]


def _missing(facts: Facts) -> str:
    lacking = []
    left = facts.study.n_trials - sum(map(_counted, facts.trials))
    if left > 0:
        lacking.append(f"{plural(left, 'trial')} of {facts.study.n_trials}")
    if facts.unfinished:
        numbers = ", ".join(map(str, facts.unfinished))
        lacking.append(f"the end of trial {numbers}, which is still running or was killed")
    if facts.final is None:
        lacking.append("the retraining of the winner and its scores on the test split")
    if facts.final and not facts.predictions:
        lacking.append(f"the predictions ({code('final/predictions.csv')})")
    if not lacking:
        return ""
    return join(
        [
            f"**Missing so far**: {'; '.join(lacking)}. The study's own command goes on:",
            block(facts.lock.command, "sh"),
        ]
    )


def _counted(trial: TrialRecord) -> bool:
    """Whether the trial fills one of the study's places: an interrupted or lost one is tried again."""
    return not (isinstance(trial.outcome, Failed) and trial.outcome.reason.retried)


def _params(params: Mapping[str, Scalar]) -> str:
    return ", ".join(f"{code(key)} {escape(value(chosen))}" for key, chosen in params.items()) or "nothing was searched"
