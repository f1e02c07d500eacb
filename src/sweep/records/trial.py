"""The records of a trial, and the values that engines report: frozen, and free of torch, Optuna
and W&B."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Discriminator, Field

from sweep.config.measured import MEASURED, limit_name
from sweep.config.objective import Objective
from sweep.config.schema import Config, Scalar
from sweep.config.settings import TrainSettings
from sweep.records.cost import Cost
from sweep.records.snapshot import Snapshot

Metrics = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Step:
    """A finished optimizer step.

    `metrics` (`train/loss`, `train/learning_rate`, `train/grad_norm`, …) is empty between logging
    steps; `epoch` is fractional; `seconds` is the trial's time so far, or its share of the time of
    trials that train at once.
    """

    step: int
    total_steps: int
    epoch: float
    metrics: Metrics = field(default_factory=dict)
    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class EvalPoint:
    """One evaluation on the validation split. `index` counts from 1; metric names are `eval/…`.

    `measured` are values of the trial up to here, `cost/…`, as far as the study searches for one;
    `scores` are those of the rows of a fold, as the bytes of a NumPy file. Both are in no record.
    """

    index: int
    step: int
    epoch: float
    metrics: Metrics
    measured: Annotated[Metrics, Field(exclude=True)] = field(default_factory=dict, compare=False)
    scores: Annotated[bytes | None, Field(exclude=True)] = field(default=None, compare=False, repr=False)

    def value(self, objective: Objective) -> float:
        """Return the value of an objective up to here; NaN where it was not measured."""
        return objective.of(self.measured if objective.metric in MEASURED else self.metrics)


class Verdict(StrEnum):
    """The answer of a study to a step or an evaluation. A trial that is interrupted ends at once,
    one that is put away when it has a snapshot: if it cannot be saved, it trains to its end. The
    study puts a trial away to pause it, too. An engine gives itself the verdict that a trial is
    infeasible (`TrialPlan.limits`)."""

    CONTINUE = "continue"
    PRUNE = "prune"
    INTERRUPT = "interrupt"
    PUT_AWAY = "put_away"
    TIME_OUT = "time_out"
    INFEASIBLE = "infeasible"


class FailureReason(StrEnum):
    """The reason why a trial failed."""

    DIVERGED = "diverged"  # a loss or score that is not finite
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"  # stopped by the user; retried on resuming
    LOST = "lost"  # the process died; retried on resuming, a limited number of times
    DISK_FAILED = "disk_failed"  # full, over quota, read-only or broken; retried on resuming
    CRASHED = "crashed"  # a bug or a broken setup: stops the study; retried on resuming
    INFEASIBLE = "infeasible"  # beyond a limit of the study, or values that break a rule together

    @property
    def retried(self) -> bool:
        """Return whether the failure says nothing about the point, so that it is retried and the
        trial does not count."""
        return self in (
            FailureReason.INTERRUPTED, FailureReason.LOST, FailureReason.DISK_FAILED, FailureReason.CRASHED
        )  # fmt: skip

    @property
    def teaches(self) -> bool:
        """Return whether the failure is the point's own, so that samplers learn from it."""
        return not self.retried


@dataclass(frozen=True, slots=True)
class Completed:
    """A trial that was trained to its end.

    `best` is its best evaluation by the study's metric, which is its score. `out_of_fold` are the
    bytes of a NumPy file beside the record: the scores there of all folds' rows, fold by fold.
    """

    best: EvalPoint
    evals: tuple[EvalPoint, ...]
    cost: Cost
    stopped_early: bool = False
    kind: Literal["completed"] = "completed"
    out_of_fold: Annotated[bytes | None, Field(exclude=True)] = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Pruned:
    """A trial that the pruner stopped."""

    evals: tuple[EvalPoint, ...]
    cost: Cost
    kind: Literal["pruned"] = "pruned"


@dataclass(frozen=True, slots=True)
class Failed:
    """A trial that failed.

    `together`: so many trials were lost at once, this one included. `given_up`: its point is not
    retried, although the reason says nothing about the point. `excess` are the broken constraints
    of an infeasible trial, by name, as shares of their limits; it is empty where values break a
    rule together.
    """

    reason: FailureReason
    message: str
    evals: tuple[EvalPoint, ...]
    cost: Cost
    kind: Literal["failed"] = "failed"
    given_up: bool = False
    together: int = 1
    excess: Mapping[str, float] = field(default_factory=dict)

    @property
    def again(self) -> bool:
        """Return whether the point is retried."""
        return self.reason.retried and not self.given_up


Outcome = Completed | Pruned | Failed


@dataclass(frozen=True, slots=True)
class TrialPlan:
    """A trial that is ready to train.

    `params` are the searched values; `used` those that the config has in their place, as the trial
    is too short for them; `command` repeats the trial. With a `snapshot` it goes on from there.
    `host` and `worker` are as in `Cost`. The engine ends a trial beyond one of the `limits`.
    `fold` counts from 1; 0 is a whole trial. `memory` is the predicted share of the memory for
    trainings that it takes in a pack; 0 where not known. So many `workers` share the host's.
    """

    number: int
    params: Mapping[str, Scalar]
    config: Config
    total_steps: int
    command: str
    used: Mapping[str, Scalar] = field(default_factory=dict)
    snapshot: Snapshot | None = None
    host: str = ""
    worker: str = ""
    limits: Mapping[str, float] = field(default_factory=dict)
    fold: int = 0
    memory: float = 0.0
    workers: int = 1

    @property
    def key(self) -> tuple[int, int]:
        """Return the number and the seed: they tell trainings apart that run at once, of which
        several may be of one trial."""
        return self.number, self.config.trainer.seed

    @property
    def watched(self) -> Mapping[str, float]:
        """Return the limits of the trial. A measured value that is its second objective has an
        infinite one, so that it is measured."""
        second = self.config.study.second_metric
        wanted = {limit_name(second): math.inf} if second is not None and second in MEASURED else {}
        return {**wanted, **self.limits}

    @property
    def kept_on_worker(self) -> bool:
        """Return whether its snapshots stay on the disk of the worker that trains it, if one does:
        those of all weights are several times as large as the model."""
        return self.config.adapter.trains == "everything"

    @property
    def settings(self) -> TrainSettings:
        """Return the values of `config` that an engine needs."""
        return TrainSettings.of(self.config, fold=self.fold > 0)


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """The record of a trial that has ended.

    Times are ISO 8601 in UTC; `tracker_run` is the address or the name of a run; `params` and
    `used` are those of the plan; `place` is the place of the point in the order of the study,
    which a retried point keeps (None in older records). The pruner paused the trial `pauses`
    times and promoted it `promotions` times: one pause more than promotions ended it. `measured`
    are the values that `study.limits` is about, by name, as far as they are known. `ended_as`
    counts the trials of the study as they end, from 1, by no clock; 0 in older records.
    """

    number: int
    params: Mapping[str, Scalar]
    outcome: Annotated[Outcome, Discriminator("kind")]
    command: str
    total_steps: int
    started: str
    finished: str
    tracker_run: str = ""
    used: Mapping[str, Scalar] = field(default_factory=dict)
    place: int | None = None
    pauses: int = 0
    promotions: int = 0
    measured: Metrics = field(default_factory=dict)
    ended_as: int = field(default=0, compare=False)

    @property
    def rank(self) -> tuple[int, int]:
        """Return a sort key: the order in which points were first asked for, or the number where
        that is not recorded."""
        return self.number if self.place is None else self.place, self.number

    @property
    def best(self) -> EvalPoint | None:
        """Return the evaluation that is the trial's score; None if it did not complete."""
        return self.outcome.best if isinstance(self.outcome, Completed) else None

    def value(self, objective: Objective) -> float:
        """Return the value of an objective; NaN if the trial did not complete. It is that of the
        best evaluation, or of the whole trial for a measured value."""
        return outcome_value(self.outcome, objective)

    def planned_steps(self, folds: int | None) -> int:
        """Return the optimizer steps of the whole training as `Cost.steps` counts them.
        `total_steps` are those of the first fold, which has the fewest."""
        return steps_of_folds(self.total_steps, folds)

    def steps_taken(self, folds: int | None) -> int:
        """Return how many of its `planned_steps` the trial took."""
        taken = self.outcome.cost.steps
        return min(taken, self.planned_steps(folds)) if folds else taken

    @property
    def state(self) -> str:
        """Return completed, pruned, or the reason of a failure."""
        return str(self.outcome.reason) if isinstance(self.outcome, Failed) else self.outcome.kind


def steps_of_folds(steps: int, folds: int | None) -> int:
    """Return the optimizer steps of a training in which each of the `folds` takes so many, as
    `Cost.steps` counts them: those of all folds together."""
    return steps * (folds or 1)


def best_metrics(record: TrialRecord) -> Metrics:
    """Return the metrics of the trial's best evaluation; empty if it did not complete."""
    return record.best.metrics if record.best else {}


def ranked(records: Iterable[TrialRecord], objective: Objective) -> list[TrialRecord]:
    """Return the completed trials, best first; with two objectives as `Objective` orders them.

    Equal scores are ordered by `eval/loss`, then by the number of trained parameters, then by
    which point was asked for first; a retried point keeps its place in that order.
    """
    in_order = sorted(records, key=lambda record: record.rank)
    found = objective.ranked(in_order, best_metrics, lambda record: record.outcome.cost.trained_parameters)
    second = objective.second
    if second is None:
        return found
    return objective.chosen_first(found, lambda one: one.value(objective), lambda one: one.value(second))


def outcome_value(outcome: Outcome, objective: Objective) -> float:
    """Return the value of an objective for a trial with this outcome, as `TrialRecord.value`."""
    if not isinstance(outcome, Completed):
        return math.nan
    if objective.metric in MEASURED:
        return outcome.cost.value(objective.metric)
    return objective.of(outcome.best.metrics)
