"""The trials: one table of all, one table of evaluations for each, and the figures of the search."""

from __future__ import annotations

from collections.abc import Set

from sweep.records.trial import Completed, TrialRecord
from sweep.report import tables
from sweep.report.facts import Facts
from sweep.report.markdown import bullets, details, escape, figure, join
from sweep.report.observations import spread, trial_observations
from sweep.report.units import score


def search(facts: Facts, drawn: Set[str]) -> str:
    """Empty for a single run that was retrained: what it did is told with the retraining."""
    if facts.alone and facts.final:
        return ""
    if not facts.trials:
        return join(["## The trials", "No trial has ended yet.", *_begun(facts)])
    return join(
        [
            "## The trials",
            tables.trials(facts),
            " ".join(
                ["The score of a trial is that of its best evaluation, at the epoch given.", spread(facts)]
            ).strip(),
            figure("search", f"Score of each trial and the best so far, in {facts.metric}")
            if "search" in drawn
            else "",
            figure("curves", "Evaluations of every trial by epoch") if "curves" in drawn else "",
            "### Trial by trial",
            "Training loss is the mean of what was logged since the evaluation before; the best evaluation is in bold.",
            *(_trial(facts, trial) for trial in facts.trials),
            *_begun(facts),
        ]
    )


def _begun(facts: Facts) -> list[str]:
    """What trials reported that have not ended, or whose process was killed."""
    found = []
    for number, points in facts.begun.items():
        table = tables.evaluations(facts, points) if points else "No evaluation was reached."
        found.append(details(f"Trial {number}, unfinished", body=[table], unfolded=not facts.trials))
    return found


def _trial(facts: Facts, trial: TrialRecord) -> str:
    points, found, mark = facts.points[trial.number], facts.score(trial), facts.mark(trial)
    ended = "" if isinstance(trial.outcome, Completed) else f", {tables.state(trial)}"
    scored = f": {facts.metric} {score(found)}" if found is not None else ""
    table = tables.evaluations(facts, points) if points else ""
    return details(
        f"Trial {trial.number}{f' ({mark})' if mark else ''}{ended}{scored}",
        body=[table, bullets(trial_observations(facts, trial)), tracked(facts, trial.tracker_run)],
        unfolded=trial is facts.winner,
    )


def tracked(facts: Facts, run: str) -> str:
    """Where the run can be looked at; the mock server's addresses answer to nobody once the study has ended."""
    return f"Recorded as {escape(run)}." if run and facts.config.tracker.name != "mock" else ""
