"""The trials: one table of all, one table of evaluations for each, and the figures of the search."""

from __future__ import annotations

from collections.abc import Set

from sweep.records import Completed, TrialRecord
from sweep.report import tables
from sweep.report.facts import Facts
from sweep.report.markdown import bullets, details, escape, figure, join
from sweep.report.observations import trial_observations
from sweep.report.units import score

_UNFOLDED = 8  # trials up to which each one's table stands open


def search(facts: Facts, drawn: Set[str]) -> str:
    return join(
        [
            "## The trials",
            tables.trials(facts),
            figure("search", f"Score of each trial and the best so far, in {facts.metric}")
            if "search" in drawn
            else "",
            figure("curves", "Evaluations of every trial by epoch") if "curves" in drawn else "",
            "### Trial by trial",
            "Training loss is the mean of what was logged since the evaluation before; the best evaluation is in bold.",
            *(_trial(facts, trial) for trial in facts.trials),
        ]
    )


def _trial(facts: Facts, trial: TrialRecord) -> str:
    points = facts.points[trial.number]
    found = facts.score(trial)
    ended = "" if isinstance(trial.outcome, Completed) else f", {tables.state(trial)}"
    best = ", best" if trial is facts.best else ""
    scored = f": {facts.metric} {score(found)}" if found is not None else ""
    run = f"Recorded as {escape(trial.tracker_run)}." if trial.tracker_run else ""
    table = tables.evaluations(facts, points) if points else ""
    return details(
        f"Trial {trial.number}{ended}{best}{scored}",
        body=[table, bullets(trial_observations(facts, trial)), run],
        unfolded=len(facts.trials) <= _UNFOLDED,
    )
