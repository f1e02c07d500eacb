"""The seam between a study and whatever records it for people to look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from sweep.config.schema import Config, Scalar, StudyConfig
from sweep.records.trial import Completed, EvalPoint, Failed, Metrics, Outcome, Step, TrialPlan, TrialRecord

# Takes a single line for the user.
Say = Callable[[str], None]

# The column that holds a row's optimizer step.
STEP = "train/global_step"


class JobType(StrEnum):
    TRIAL = "trial"
    CONFIRM = "confirm"
    FINAL = "final"
    REFIT = "refit"
    STUDY = "study"
    COMPARE = "compare"


# W&B tells a run that went well from one that failed by its exit code alone; the codes tell failures apart.
# Where the shell has a code for the cause, it is that one.
_EXIT_CODES = {"completed": 0, "pruned": 0, "crashed": 1, "diverged": 3, "out_of_memory": 4, "timed_out": 124,
               "interrupted": 130}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended. `state` is a `TrialRecord.state` (completed, pruned, diverged, interrupted, …), and `exit_code`
    follows from it unless it is given; `files` are attached to the run; a folder in `artifact` becomes a versioned
    artifact of the run; `trials` become a table, and so does each entry of `tables`: rows with the same keys."""

    state: str
    exit_code: int | None = None
    summary: Mapping[str, float | int | str] | None = None
    files: tuple[Path, ...] = ()
    artifact: Path | None = None
    trials: tuple[TrialRecord, ...] = ()
    tables: Mapping[str, Sequence[Mapping[str, Scalar]]] = field(default_factory=dict)

    @property
    def code(self) -> int:
        """0 for a completed or pruned trial; each kind of failure has a code of its own."""
        return _EXIT_CODES.get(self.state, 1) if self.exit_code is None else self.exit_code


@dataclass(frozen=True, slots=True)
class CutRun:
    """A run whose process ended before it did, and all that it should hold. `address`, `number`, `params` and `seed` are those
    that it was opened with; `events` are all that were logged, in their order."""

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
    """The ending of a trial's run. The best evaluation goes under `best/…`, where the last row cannot overwrite it."""
    outcome = record.outcome
    cost = outcome.cost
    summary = cost.account
    if best := best_evaluation(outcome, study):
        summary |= {"best/step": best.step, "best/epoch": best.epoch}
        summary |= {f"best/{name}": value for name, value in best.metrics.items()}
    if isinstance(outcome, Completed):
        summary["optuna/value"] = outcome.best.metrics[study.metric]
    if isinstance(outcome, Failed):
        summary["failure"] = outcome.message
    return Ending(record.state, summary=summary)


def best_evaluation(outcome: Outcome, study: StudyConfig) -> EvalPoint | None:
    if isinstance(outcome, Completed):
        return outcome.best
    return study.objective.best(outcome.evals, lambda point: point.metrics)


def trial_rows(trials: Sequence[TrialRecord], study: StudyConfig) -> list[dict[str, Scalar]]:
    """A row for each trial: its number, state, searched values, and its best evaluation's score and epoch."""
    rows = []
    for trial in trials:
        best = best_evaluation(trial.outcome, study)
        score = {study.metric: best.metrics[study.metric], "best epoch": best.epoch} if best else {}
        rows.append({"number": trial.number, "state": trial.state, **trial.params, **score})
    return rows


class Run(Protocol):
    """One line on the dashboard. `address` is where to look at it: a URL, a folder, or empty."""

    @property
    def address(self) -> str: ...

    def log(self, step: int, metrics: Metrics) -> None:
        """Stream one row against `train/global_step`."""

    def finish(self, ending: Ending) -> None: ...


class Tracker(Protocol):
    def open(self, trial: TrialPlan, job_type: JobType = JobType.TRIAL) -> Run:
        """Start the run of a trial, of its repetition with a fresh seed, of the winner's retraining, or of its refit."""

    def left_open(self, address: str) -> bool:
        """Whether an earlier process opened the run at this address, and ended before the run did."""

    def complete(self, cut: CutRun) -> bool:
        """Go on with a run that was cut short with its process: the rows that did not arrive, and how it ended. False where
        that run cannot be had again."""

    def open_study(self, config: Config) -> Run:
        """Start the run that sums the study up."""

    def open_comparison(self, name: str, compared: Mapping[str, Config]) -> Run:
        """Start the run that sets finished studies side by side; their configs by method."""

    def close(self) -> Sequence[str]:
        """Send what is left. Return lines that tell the user what arrived and what did not."""
