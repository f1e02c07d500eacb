"""A toy engine without a model, for tests of the study around an engine: real plans, real Optuna,
scores by formula."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep.plan.plan import Plan, make_plan
from sweep.records.store import Store
from sweep.records.trial import (
    Completed,
    Cost,
    EvalPoint,
    Failed,
    FailureReason,
    Outcome,
    Pruned,
    Step,
    TrialPlan,
    Verdict,
)
from sweep.study.session import Session
from sweep.study.signals import stop_on_signals
from sweep.study.view import View
from sweep.track.null import NullTracker

EPOCHS = 3


@dataclass
class ToyEngine:
    """An engine with a score that is best at a learning rate of 1e-3.

    A trial has three evaluations and takes a second; `slots` trials take turns, an epoch at a
    time. `before` is called ahead of each epoch; `luck` is added to the score, and a trial whose
    luck is NaN diverges. `together` counts the trials that ran at once, at each epoch.
    """

    before: Callable[[TrialPlan, int], None] = lambda trial, epoch: None
    trained: list[TrialPlan] = field(default_factory=list)
    luck: Callable[[TrialPlan], float] = lambda trial: 0.0
    slots: int = 1
    together: list[int] = field(default_factory=list)

    def run(self, next_trial: Any, on_step: Any, on_eval: Any, on_end: Any, _on_snapshot: Any = None) -> None:
        running: deque[tuple[TrialPlan, Generator[None, None, Outcome]]] = deque()
        while True:
            while len(running) < self.slots and (trial := next_trial()) is not None:
                self.trained.append(trial)
                running.append((trial, self._train(trial, on_step, on_eval)))
            if not running:
                return
            self.together.append(len(running))
            trial, training = running.popleft()
            try:
                next(training)
                running.append((trial, training))
            except StopIteration as ended:
                on_end(trial, ended.value)

    def _train(self, trial: TrialPlan, on_step: Any, on_eval: Any) -> Generator[None, None, Outcome]:
        rate, evals = trial.config.optimizer.learning_rate, []
        per_epoch = trial.total_steps // EPOCHS
        for epoch in range(1, EPOCHS + 1):
            self.before(trial, epoch)
            step = epoch * per_epoch if epoch < EPOCHS else trial.total_steps
            verdict = on_step(
                trial, Step(step, trial.total_steps, float(epoch), {"train/loss": 1.0 / epoch}, epoch / EPOCHS)
            )
            if verdict is Verdict.CONTINUE:
                accuracy = 1 / (1 + abs(math.log10(rate) + 3)) - 0.01 * abs(epoch - 2) + self.luck(trial)
                if math.isnan(accuracy):
                    return Failed(FailureReason.DIVERGED, "loss is nan", tuple(evals), Cost(seconds=1.0))
                evals.append(
                    EvalPoint(epoch, step, float(epoch), {"eval/accuracy": accuracy, "eval/loss": 1 - accuracy})
                )
                verdict = on_eval(trial, evals[-1])
            if verdict is not Verdict.CONTINUE:
                return _stopped(verdict, tuple(evals))
            if epoch < EPOCHS:
                yield
        best = max(evals, key=lambda point: point.metrics["eval/accuracy"])
        return Completed(best, tuple(evals), Cost(seconds=1.0))


def _stopped(verdict: Verdict, evals: tuple[EvalPoint, ...]) -> Outcome:
    if verdict is Verdict.PRUNE:
        return Pruned(evals, Cost())
    reason = FailureReason.INTERRUPTED if verdict is Verdict.INTERRUPT else FailureReason.TIMED_OUT
    return Failed(reason, f"verdict {verdict}", evals, Cost())


@dataclass(frozen=True)
class ToySession(Session):
    toy: ToyEngine = field(default_factory=ToyEngine)

    def engine(self) -> Any:
        return self.toy


def plan(folder: Path, *overrides: str) -> Plan:
    return make_plan(["+experiment=quickstart", "tracker=none", f"run_dir={folder / 'run'}", *overrides])


@contextmanager
def session(folder: Path, *overrides: str, engine: ToyEngine | None = None) -> Iterator[ToySession]:
    made: Any = plan(folder, *overrides)
    absent: Any = None
    store = Store(folder / "run")
    with store.held(), stop_on_signals() as stop:
        view = View(made.config.study)
        yield ToySession(made, store, NullTracker(), absent, absent, view, stop, engine or ToyEngine())
