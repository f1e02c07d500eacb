"""The values that flow from a trial to the report: frozen, and free of torch, Optuna and W&B."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Discriminator

from sweep.config.objective import Objective
from sweep.config.schema import Config, Scalar
from sweep.config.settings import TrainSettings

Metrics = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Step:
    """An optimizer step just finished. `metrics` (`train/loss`, `train/learning_rate`, `train/grad_norm`, …) is empty
    between logging steps; `epoch` is fractional; `seconds` is what the trial has taken up to then, of trials that train
    at once its share."""

    step: int
    total_steps: int
    epoch: float
    metrics: Metrics = field(default_factory=dict)
    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class EvalPoint:
    """One evaluation on the validation split. `index` counts from 1; metric names are `eval/…`."""

    index: int
    step: int
    epoch: float
    metrics: Metrics


class Verdict(StrEnum):
    """What the study tells an engine to do with a trial."""

    CONTINUE = "continue"
    PRUNE = "prune"
    INTERRUPT = "interrupt"
    TIME_OUT = "time_out"


class FailureReason(StrEnum):
    DIVERGED = "diverged"  # a loss or score that is not finite
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"  # stopped by the user: the point is tried again on resuming
    LOST = "lost"  # the process died: likewise, but not for ever
    DISK_FAILED = "disk_failed"  # full, over quota, read-only or broken: likewise
    CRASHED = "crashed"  # our bug or a broken setup: stops the study, and is tried again once that is mended
    INFEASIBLE = "infeasible"  # values that are right one by one, but together break a rule

    @property
    def retried(self) -> bool:
        """Says nothing about the point: it is tried again, and the trial does not count."""
        return self in (
            FailureReason.INTERRUPTED, FailureReason.LOST, FailureReason.DISK_FAILED, FailureReason.CRASHED
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds are wall time; of trials that ran at once each has its share, so that their sum is the time that went by.
    `samples` counts training rows seen, `eval_samples` rows evaluated; `flops` is the Trainer's estimate; memory is in
    bytes; `device` is the accelerator's name, or cpu."""

    seconds: float = 0.0
    train_seconds: float = 0.0
    eval_seconds: float = 0.0
    steps: int = 0
    samples: int = 0
    flops: float = 0.0
    train_loss: float | None = None
    peak_host_bytes: int = 0
    peak_device_bytes: int = 0
    eval_samples: int = 0
    device: str = ""
    engine: str = ""  # what trained it: trainer, packed, or frozen for a head on cached features
    trained_parameters: int = 0  # weights that were trained; 0 where that was not recorded

    @property
    def account(self) -> dict[str, float | int | str]:
        """Flat, as `cost/…`, without what was not measured."""
        found: dict[str, float | int | str | None] = {
            "seconds": self.seconds,
            "train_seconds": self.train_seconds,
            "eval_seconds": self.eval_seconds,
            "samples_per_second": self.samples_per_second,
            "steps_per_second": self.steps_per_second,
            "eval_samples_per_second": self.eval_samples_per_second,
            "flops": self.flops,
            "peak_host_bytes": self.peak_host_bytes,
            "peak_device_bytes": self.peak_device_bytes,
            "device": self.device or None,
            "engine": self.engine or None,
            "device_hours": self.device_hours,
        }
        return {f"cost/{name}": value for name, value in found.items() if value is not None}

    @property
    def samples_per_second(self) -> float | None:
        """Of training time; None where nothing was trained."""
        return self.samples / self.train_seconds if self.train_seconds > 0 else None

    @property
    def steps_per_second(self) -> float | None:
        return self.steps / self.train_seconds if self.train_seconds > 0 else None

    @property
    def eval_samples_per_second(self) -> float | None:
        return self.eval_samples / self.eval_seconds if self.eval_seconds > 0 else None

    @property
    def device_hours(self) -> float:
        """A trial holds one device for as long as it lasts, or its share of one."""
        return self.seconds / 3600


def total(costs: Sequence[Cost]) -> Cost:
    """Of several trainings: sums, but the highest peaks, no training loss, and every device and engine that was used."""
    return Cost(
        seconds=math.fsum(one.seconds for one in costs),
        train_seconds=math.fsum(one.train_seconds for one in costs),
        eval_seconds=math.fsum(one.eval_seconds for one in costs),
        steps=sum(one.steps for one in costs),
        samples=sum(one.samples for one in costs),
        flops=math.fsum(one.flops for one in costs),
        peak_host_bytes=max((one.peak_host_bytes for one in costs), default=0),
        peak_device_bytes=max((one.peak_device_bytes for one in costs), default=0),
        eval_samples=sum(one.eval_samples for one in costs),
        device=_named(one.device for one in costs),
        engine=_named(one.engine for one in costs),
    )


def _named(lists: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(name for names in lists for name in names.split(", ") if name))


@dataclass(frozen=True, slots=True)
class Completed:
    """`best` is the evaluation that scores the trial: the best by the study's metric, not the last."""

    best: EvalPoint
    evals: tuple[EvalPoint, ...]
    cost: Cost
    stopped_early: bool = False
    kind: Literal["completed"] = "completed"


@dataclass(frozen=True, slots=True)
class Pruned:
    evals: tuple[EvalPoint, ...]
    cost: Cost
    kind: Literal["pruned"] = "pruned"


@dataclass(frozen=True, slots=True)
class Failed:
    """`alone` is of a lost trial that had no other beside it; `given_up` of one whose point is not tried again, though its
    reason says nothing about the point."""

    reason: FailureReason
    message: str
    evals: tuple[EvalPoint, ...]
    cost: Cost
    kind: Literal["failed"] = "failed"
    alone: bool = False
    given_up: bool = False

    @property
    def again(self) -> bool:
        return self.reason.retried and not self.given_up


Outcome = Completed | Pruned | Failed


@dataclass(frozen=True, slots=True)
class TrialPlan:
    """One trial, ready to train. `params` are the searched values, `used` those that the config has in their place because the
    trial is too short for them; `command` repeats the trial."""

    number: int
    params: Mapping[str, Scalar]
    config: Config
    total_steps: int
    command: str
    used: Mapping[str, Scalar] = field(default_factory=dict)

    @property
    def settings(self) -> TrainSettings:
        """Return the values of `config` that an engine needs."""
        return TrainSettings.of(self.config)


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """What is kept of a trial that has ended. Times are ISO 8601 in UTC; `tracker_run` is an address or a run's name; `params`
    and `used` are those of its plan; `place` is that of its point in the order of the study, which a trial that is tried
    again keeps (None in records of earlier versions)."""

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

    @property
    def rank(self) -> tuple[int, int]:
        """Sorts trials by the order in which their points were first asked for; by number where that was not recorded."""
        return self.number if self.place is None else self.place, self.number

    @property
    def best(self) -> EvalPoint | None:
        """The evaluation that scores the trial; None of one that did not complete."""
        return self.outcome.best if isinstance(self.outcome, Completed) else None

    @property
    def state(self) -> str:
        match self.outcome:
            case Completed():
                return "completed"
            case Pruned():
                return "pruned"
            case Failed(reason=reason):
                return str(reason)


def best_metrics(record: TrialRecord) -> Metrics:
    """Empty of a trial that did not complete."""
    return record.best.metrics if record.best else {}


def ranked(records: Iterable[TrialRecord], objective: Objective) -> list[TrialRecord]:
    """The completed trials, best first. Equal scores are ordered by `eval/loss`, then by how many parameters were
    trained, then by which point was asked for first: a trial that was stopped and tried again keeps its rank."""
    in_order = sorted(records, key=lambda record: record.rank)
    return objective.ranked(in_order, best_metrics, lambda record: record.outcome.cost.trained_parameters)
