"""The first lines: what won, how well it did on rows it had never seen, and what is still missing."""

from __future__ import annotations

from collections.abc import Mapping

from sweep.config.schema import Scalar
from sweep.records.final import FinalRecord
from sweep.report.cost import spent_in_all
from sweep.report.facts import Facts
from sweep.report.markdown import block, bullets, code, escape, join
from sweep.report.observations import lead, training
from sweep.report.rows import cautions
from sweep.report.scores import beside_before, beside_guessing, beside_refit, overview, tested_as
from sweep.report.selection import chosen
from sweep.report.tables import counted, ended, shown_metrics
from sweep.report.units import count, plural, score, value


def headline(facts: Facts) -> str:
    final, table = facts.final, ""
    if final:
        table = overview(facts, final, shown_metrics(facts, [final.retrain_best.metrics, final.test]))
    return join([f"# {escape(facts.name)}", _winner(facts), table, bullets(_notes(facts)), _missing(facts)])


def _winner(facts: Facts) -> str:
    if facts.final:
        return _confirmed(facts, facts.final)
    best = facts.best
    if best is None:
        return f"**No trial has completed**, so there is no winner: {ended(facts)}."
    found = facts.best_eval(best)
    at = f" at epoch {found.epoch:.4g}" if found else ""
    if facts.alone:
        return f"One trial, with the values of the experiment, reached {facts.metric} {score(facts.score(best))}{at}."
    return f"**Trial {best.number} leads** with {facts.metric} {score(facts.score(best))}{at} ({_params(best.params)})."


def _confirmed(facts: Facts, final: FinalRecord) -> str:
    reached = (
        f"{facts.metric} {score(final.trial_best.metrics.get(facts.metric))} at epoch {final.trial_best.epoch:.4g}"
    )
    how = "Refitted on train and validation rows together" if final.refit else "Retrained from scratch"
    tested = f"{how}, it scores **{tested_as(facts, final)}**."
    if facts.alone:
        return f"One trial, with the values of the experiment, reached {reached}. {tested}"
    return f"**Trial {final.number} won** with {reached} ({_params(final.params)}). {tested}"


def _notes(facts: Facts) -> list[str]:
    final = facts.final
    found = [*_measured(facts, final), *cautions(facts), *training(facts)] if final else cautions(facts)
    if not facts.alone:
        done, wanted = len(counted(facts)), facts.study.n_trials
        asked = f"{wanted} were planned" if done <= wanted else f"more than the {wanted} asked for now"
        planned = f"{plural(done, 'trial')} ended, {asked}: {ended(facts)}."
        found += [planned, chosen(facts, final) if final and final.confirmation else lead(facts)]
    found += [spent_in_all(facts)] if facts.trials else []
    if final:
        found += [_readings(final), _overtaken(facts, final)]
    return [note for note in found if note]


def _measured(facts: Facts, final: FinalRecord) -> list[str]:
    found = [beside_guessing(facts), beside_before(facts, final), beside_refit(final)]
    if final.tuned:
        whose = ", for the model trained on the train rows alone" if final.refit else ""
        found.append(
            f"The thresholds were tuned on validation{whose}, so validation scores at them are optimistic; the test split had "
            "no part in it."
        )
    return found


def _readings(final: FinalRecord) -> str:
    times = "once, after the winner was chosen"
    if final.test_readings > 1:
        why = "more trials, fresh seeds or a refit changed what was tested, or what was read was lost"
        times = f"{final.test_readings} times, because {why}"
    return f"The test split ({count(final.test_rows)} rows) was read {times}."


def _overtaken(facts: Facts, final: FinalRecord) -> str:
    """Where another trial than the retrained one is the best: one that was added since, or, in a run directory of a
    version that broke ties in another way, one with the same score."""
    best = facts.best
    if best is None or best.number == final.number or final.confirmation:
        return ""
    same = facts.winner is not None and facts.score(facts.winner) == facts.score(best)
    how = f"scored the same as trial {final.number} and now counts as the best" if same else "has since become the best"
    return (
        f"Trial {best.number} {how} ({score(facts.score(best))}); the final figures are still those of trial "
        f"{final.number}. The study's own command retrains trial {best.number}."
    )


def _missing(facts: Facts) -> str:
    lacking = []
    left = facts.study.n_trials - len(counted(facts))
    if left > 0:
        lacking.append(f"{plural(left, 'trial')} of {facts.study.n_trials}")
    if facts.unfinished:
        numbers = ", ".join(map(str, facts.unfinished))
        lacking.append(f"the end of trial {numbers}, which is still running or was killed")
    if facts.final is None:
        trained = "retraining and refit" if facts.study.refit else "retraining"
        lacking.append(f"the {trained} of the winner and its scores on the test split")
    if facts.final and facts.study.refit and not facts.final.refit:
        lacking.append("the refit of the winner on train and validation rows, and its scores on the test split")
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


def _params(params: Mapping[str, Scalar]) -> str:
    return ", ".join(f"{code(key)} {escape(value(chosen))}" for key, chosen in params.items()) or "nothing was searched"
