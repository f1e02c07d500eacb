"""The interface between a study and the trackers that show it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal, Protocol

from sweep.config.schema import Config, Scalar, StudyConfig
from sweep.config.secrets import scrub
from sweep.records.trial import (
    Completed,
    EvalPoint,
    Failed,
    Metrics,
    Outcome,
    Step,
    TrialPlan,
    TrialRecord,
    outcome_value,
)

# A function that shows the user one line.
Say = Callable[[str], None]

# The column that holds a row's step: the optimizer step of a training, and the seconds for which
# the study has run in the rows of its own run.
SECOND_VALUE = "optuna/second_value"  # in the summary of a trial's run: the value of a second objective
STEP, SECONDS = "train/global_step", "study/seconds"


class JobType(StrEnum):
    """The kind of a run."""

    TRIAL = "trial"
    CONFIRM = "confirm"
    FINAL = "final"
    REFIT = "refit"
    STUDY = "study"
    COMPARE = "compare"


# W&B shows a run as failed by its exit code alone. Each failure has its own code; the shell's code
# if it has one.
_EXIT_CODES = {"completed": 0, "pruned": 0, "paused": 0, "crashed": 1, "diverged": 3, "out_of_memory": 4, "infeasible": 5,
               "timed_out": 124, "interrupted": 130}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of rows with the same keys, and its `name` among the values of the run.

    The rows of `bars` have a text and a number; those of `lines` have x, y and the name of a line;
    those of a `confusion` matrix have the true label, the predicted one and a count.
    """

    name: str
    title: str
    kind: Literal["bars", "points", "lines", "confusion"]
    rows: Sequence[Mapping[str, Scalar]]


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a run.

    `state` is a `TrialRecord.state` (completed, pruned, diverged, interrupted, …) or `failed` for
    a study that an error ended, and `exit_code` follows from it unless it is given; `files` are
    attached to the run; a folder in `artifact` becomes a versioned artifact of the run; `trials`
    become a table, and so does each entry of `tables`: rows with the same keys. A tracker without
    `charts` shows them as tables, and one without pages leaves out `page`, an HTML file. A run
    whose training goes on later is `resumable`.
    """

    state: str
    exit_code: int | None = None
    summary: Mapping[str, float | int | str] | None = None
    files: tuple[Path, ...] = ()
    artifact: Path | None = None
    trials: tuple[TrialRecord, ...] = ()
    tables: Mapping[str, Sequence[Mapping[str, Scalar]]] = field(default_factory=dict)
    resumable: bool = False
    charts: tuple[Chart, ...] = ()
    page: Path | None = None

    @property
    def code(self) -> int:
        """Return 0 for a completed or pruned trial, and another code for each kind of failure."""
        return _EXIT_CODES.get(self.state, 1) if self.exit_code is None else self.exit_code

    @property
    def all_tables(self) -> Mapping[str, Sequence[Mapping[str, Scalar]]]:
        """Return the tables, and the rows of the charts under their names."""
        return {**self.tables, **{chart.name: chart.rows for chart in self.charts}}

    @property
    def shown(self) -> bool:
        """Return whether there is a table, a chart or a page."""
        return bool(self.trials or self.tables or self.charts or self.page)


@dataclass(frozen=True, slots=True)
class Alert:
    """A message to those who watch a study: at its `end`, of trials that fail, or of a new `best`
    trial. `title` names the study and has at most 64 characters; a tracker sends no other alert
    with this title for `quiet` seconds."""

    kind: Literal["end", "failures", "best"]
    title: str
    text: str
    level: Literal["INFO", "WARN", "ERROR"] = "INFO"
    quiet: float = 0.0


# The ending of a run whose training was stopped and goes on later.
PUT_AWAY = Ending("interrupted", resumable=True)
# The ending of the run of a trial that the pruner has paused, until it is promoted.
PAUSED = Ending("paused", resumable=True)


@dataclass(frozen=True, slots=True)
class StoppedRun:
    """The run of a training or of a study that was stopped and goes on now. `address` is the one
    that it was opened with; `events` are all that were logged, in their order. Among those of a
    study, one without metrics stands for the tables and charts of an earlier end."""

    job_type: JobType
    address: str
    events: Sequence[Step | EvalPoint] = ()


@dataclass(frozen=True, slots=True)
class CutRun:
    """A run whose process ended before the run did, and everything that the run should hold.

    `address`, `number`, `params` and `seed` are those that it was opened with; `events` are all
    that were logged, in their order.
    """

    job_type: JobType
    address: str
    number: int
    ending: Ending
    events: Sequence[Step | EvalPoint] = ()
    params: Mapping[str, Scalar] = field(default_factory=dict)
    seed: int = 0


def cut_trial(record: TrialRecord, events: Sequence[Step | EvalPoint], study: StudyConfig) -> CutRun:
    return CutRun(JobType.TRIAL, record.tracker_run, record.number, trial_ending(record, study), events, record.params)


def trial_ending(record: TrialRecord, study: StudyConfig) -> Ending:
    """Return the ending of a trial's run.

    The best evaluation goes under `best/…`, where the last row cannot overwrite it; values that
    `study.limits` is about under their names, such as `predict/latency_ms`.
    """
    outcome = record.outcome
    cost = outcome.cost
    summary = cost.account | _limited(record)
    if best := best_evaluation(outcome, study):
        summary |= {"best/step": best.step, "best/epoch": best.epoch}
        summary |= {f"best/{name}": value for name, value in best.metrics.items()}
    if isinstance(outcome, Completed):
        summary["optuna/value"] = outcome.best.metrics[study.metric]
        if study.second:
            summary[SECOND_VALUE] = outcome_value(outcome, study.second)
    if isinstance(outcome, Failed):
        summary["failure"] = outcome.message
    return Ending(record.state, summary=summary)


def best_evaluation(outcome: Outcome, study: StudyConfig) -> EvalPoint | None:
    if isinstance(outcome, Completed):
        return outcome.best
    return study.objective.best(outcome.evals, lambda point: point.metrics)


def trial_rows(trials: Sequence[TrialRecord], study: StudyConfig) -> list[dict[str, Scalar]]:
    """Return a row for each trial: number, state, searched values without secrets, the score and
    epoch of its best evaluation, and the values that `study.limits` is about."""
    rows = []
    for trial in trials:
        best = best_evaluation(trial.outcome, study)
        score: dict[str, Scalar] = {study.metric: best.metrics[study.metric], "best epoch": best.epoch} if best else {}
        if study.second and best:
            value = outcome_value(trial.outcome, study.second)
            score |= {study.second.metric: None if math.isnan(value) else value}
        values = {**_clean(trial.params), **score, **_limited(trial)}
        rows.append({"number": trial.number, "state": trial.state, **values})
    return rows


def _limited(trial: TrialRecord) -> dict[str, float]:
    """Return the values that `study.limits` is about, as `KIND/NAME`; metrics have rows of their
    own."""
    found = {name: value for name, value in trial.measured.items() if not name.startswith("eval.")}
    return {name.replace(".", "/", 1): value for name, value in found.items()}


def _clean(params: Mapping[str, Scalar]) -> dict[str, Scalar]:
    return {name: scrub(value) if isinstance(value, str) else value for name, value in params.items()}


class Run(Protocol):
    """A run of a tracker. `address` is the place where it is shown: a URL, a folder, or empty.

    A tracker with alerts has also `alert(alert)`, for the study's run: `send_alert` calls it.
    """

    @property
    def address(self) -> str: ...

    def log(self, step: int, metrics: Metrics) -> None:
        """Log a row of metrics at the optimizer step `step`; in the run of a study, at that
        second."""

    def finish(self, ending: Ending) -> None: ...


class Tracker(Protocol):
    """Shows a study while it runs."""

    def open(self, trial: TrialPlan, job_type: JobType = JobType.TRIAL) -> Run:
        """Return a started run: of a trial, a repeat with a fresh seed, a retraining or a
        refit."""

    def resume(self, trial: TrialPlan, stopped: StoppedRun) -> Run | None:
        """Open the run of a stopped training again, and send the rows that it lacks. Return None
        where that cannot be done; `go_on` then opens a new one."""

    def left_open(self, address: str) -> bool:
        """Return whether an earlier process opened the run at this address and did not end it."""

    def complete(self, cut: CutRun) -> bool:
        """Send the missing rows and the end of a run whose process was killed. Return False if the
        run cannot be opened again."""

    def open_study(self, config: Config) -> Run:
        """Return the study's own run, which is open while the study runs."""

    def resume_study(self, config: Config, stopped: StoppedRun) -> Run | None:
        """Open the study's own run again, and send the rows that it lacks. Return None where that
        cannot be done; `go_on_with_study` then opens a new one."""

    def open_comparison(self, name: str, compared: Mapping[str, Config]) -> Run:
        """Return the run that compares finished studies. `compared` has their configs by name."""

    def close(self) -> Sequence[str]:
        """Send what is left. Return lines that tell the user what arrived and what did not."""


def go_on(tracker: Tracker, trial: TrialPlan, stopped: StoppedRun) -> Run:
    """Return the run of a stopped training, opened again; where that cannot be done, a new run
    with the rows of the stopped one."""
    run = tracker.resume(trial, stopped) if stopped.address else None
    if run is None:
        run = tracker.open(trial, stopped.job_type)
        log_events(run, stopped.events)
    return run


def go_on_with_study(tracker: Tracker, config: Config, stopped: StoppedRun) -> Run:
    """Return the study's own run, opened again; where that cannot be done, or where there was
    none, a new run with the rows so far. A row without metrics is logged too, since it counts."""
    run = tracker.resume_study(config, stopped) if stopped.address else None
    if run is None:
        run = tracker.open_study(config)
        for event in stopped.events:
            run.log(event.step, event.metrics)
    return run


def send_alert(run: Run, alert: Alert) -> None:
    """Send an alert of the study's run, where its tracker has alerts."""
    send = getattr(run, "alert", None)
    if send is not None:
        send(alert)


def log_events(run: Run, events: Sequence[Step | EvalPoint]) -> None:
    """Log the rows of events, without those that have no metrics."""
    for event in events:
        if event.metrics:
            run.log(event.step, event.metrics)
