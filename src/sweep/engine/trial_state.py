"""The course of one trial: its evaluations, its best, what it cost, and why it ended."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sweep.config.schema import Config
from sweep.records.trial import Completed, Cost, EvalPoint, Failed, FailureReason, Metrics, Outcome, Pruned, Verdict


@dataclass(slots=True)
class Clock:
    """Wall seconds. What is spent neither on training nor on evaluating counts in `total` alone."""

    started: float = field(default_factory=time.perf_counter)
    loop: float | None = None  # when the training loop began
    evaluating: float = 0.0
    aside: float = 0.0  # inside the loop, but neither: reporting, keeping the best weights
    since: float | None = None  # when what is being set aside began

    @contextmanager
    def on_evaluation(self) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.evaluating += time.perf_counter() - begun

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        self.since = begun = time.perf_counter()
        yield
        self.aside, self.since = self.aside + time.perf_counter() - begun, None

    def begin_loop(self) -> None:
        self.loop = time.perf_counter()

    def total(self) -> float:
        return time.perf_counter() - self.started

    def training(self) -> float:
        """To be asked when the loop has just ended."""
        return 0.0 if self.loop is None else time.perf_counter() - self.loop - self.evaluating - self.aside


@dataclass(slots=True)
class ShareClock(Clock):
    """For a trial among others: its share of what they spent together, so that the seconds of all add up to the wall's."""

    trained: float = 0.0

    @contextmanager
    def on_training(self) -> Iterator[None]:
        """For what a trial does alone; what is set aside meanwhile is no training."""
        begun, aside = time.perf_counter(), self.aside
        yield
        self.trained += time.perf_counter() - begun - (self.aside - aside)

    def charge(self, *, training: float = 0.0, evaluating: float = 0.0) -> None:
        self.trained += training
        self.evaluating += evaluating

    def total(self) -> float:
        going_on = 0.0 if self.since is None else time.perf_counter() - self.since
        return self.trained + self.evaluating + self.aside + going_on

    def training(self) -> float:
        return self.trained


@dataclass(slots=True)
class Course:
    """`verdict` is PRUNE where the study prunes the trial; every other early end but early stopping is a `failure`."""

    config: Config
    evals: list[EvalPoint] = field(default_factory=list)
    best: EvalPoint | None = None
    idle: int = 0  # evaluations in a row without a gain above the threshold, early ones aside
    samples: int = 0
    eval_samples: int = 0
    verdict: Verdict = Verdict.CONTINUE
    failure: tuple[FailureReason, str] | None = None
    stopped_early: bool = False

    @property
    def ended(self) -> bool:
        return self.stopped_early or self.failure is not None or self.verdict is not Verdict.CONTINUE

    def obey(self, verdict: Verdict, step: int) -> None:
        match verdict:
            case Verdict.CONTINUE:
                return
            case Verdict.PRUNE:
                self.verdict = verdict
            case Verdict.INTERRUPT:
                self.fail(FailureReason.INTERRUPTED, f"after step {step}")
            case Verdict.TIME_OUT:
                self.fail(FailureReason.TIMED_OUT, f"out of time after step {step}")

    def fail(self, reason: FailureReason, message: str) -> None:
        """The first failure is the one that counts."""
        self.failure = self.failure or (reason, message)

    def add(self, step: int, epoch: float, metrics: Metrics) -> bool:
        """Take in an evaluation; True if it is the best so far.

        Of evaluations with equal scores the one with the lowest loss is the best, and the earliest if the losses are
        equal too. Patience counts gains of the score alone.
        """
        point = EvalPoint(index=len(self.evals) + 1, step=step, epoch=epoch, metrics=metrics)
        self.evals.append(point)
        objective = self.config.study.objective
        gain = math.inf if self.best is None else objective.gain(objective.of(metrics), objective.of(self.best.metrics))
        idles = gain <= self.config.trainer.early_stopping_threshold and not self._early(epoch)
        self.idle = self.idle + 1 if idles else 0
        best = self.best is None or objective.better(metrics, self.best.metrics)
        if best:
            self.best = point
        return best

    def _early(self, epoch: float) -> bool:
        """Whether an evaluation is there for the pruner: patience is meant in epochs."""
        return self.config.trainer.eval_strategy == "early" and epoch < 1

    def out_of_patience(self) -> bool:
        patience = self.config.trainer.early_stopping_patience
        return patience is not None and self.idle >= patience

    def failed(self, cost: Cost) -> Failed | None:
        return None if self.failure is None else Failed(*self.failure, evals=tuple(self.evals), cost=cost)

    def outcome(self, cost: Cost) -> Outcome:
        """Of a training that was evaluated."""
        evals = tuple(self.evals)
        if (failed := self.failed(cost)) is not None:
            return failed
        if self.verdict is Verdict.PRUNE:
            return Pruned(evals=evals, cost=cost)
        assert self.best is not None, "the last step is always evaluated"
        objective = self.config.study.objective
        if not math.isfinite(objective.of(self.best.metrics)):  # a metric of the user's own may be undefined
            message = f"{objective.metric} is no finite number in any evaluation"
            return Failed(FailureReason.DIVERGED, message, evals=evals, cost=cost)
        return Completed(best=self.best, evals=evals, cost=cost, stopped_early=self.stopped_early)
