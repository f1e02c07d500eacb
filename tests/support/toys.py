"""A toy engine without a model, for tests of the study around an engine: real plans, real Optuna,
scores by formula."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from sweep.engine.protocol import no_snapshot
from sweep.plan.plan import Plan, make_plan
from sweep.records.cost import Cost
from sweep.records.snapshot import FORMAT, SECONDS, STATE, STEP, VERSION, Snapshot
from sweep.records.store import Store
from sweep.records.trial import Completed, EvalPoint, Failed, FailureReason, Outcome, Pruned, Step, TrialPlan, Verdict
from sweep.study.ended_trials import EndedTrials
from sweep.study.session import Session
from sweep.study.signals import stop_on_signals
from sweep.study.view import View
from sweep.track.null import NullTracker
from sweep.track.study_run import StudyRun

EPOCHS = 3


@dataclass
class ToyEngine:
    """An engine with a score that is best at a learning rate of 1e-3.

    A trial has three evaluations and takes a second; `slots` trials take turns, an epoch at a
    time. `before` is called ahead of each epoch; `luck` is added to the score, and a trial whose
    luck is NaN diverges. `measures` gives what an engine measures for `study.limits`; a trial is
    not ended for it. `together` counts the trials that ran at once, at each epoch. With
    `snapshots` a trial has one after each evaluation, and where it is interrupted. One that is not
    `savable` is not put away.
    """

    before: Callable[[TrialPlan, int], None] = lambda trial, epoch: None
    trained: list[TrialPlan] = field(default_factory=list)
    luck: Callable[[TrialPlan], float] = lambda trial: 0.0
    measures: Callable[[TrialPlan], Mapping[str, float]] = lambda trial: {}
    slots: int = 1
    together: list[int] = field(default_factory=list)
    snapshots: bool = True
    savable: bool = True

    def run(self, next_trial: Any, on_step: Any, on_eval: Any, on_end: Any, on_snapshot: Any = no_snapshot) -> None:
        running: deque[tuple[TrialPlan, Generator[None, None, Outcome]]] = deque()
        while True:
            while len(running) < self.slots and (trial := next_trial()) is not None:
                self.trained.append(trial)
                running.append((trial, self._train(trial, on_step, on_eval, on_snapshot)))
            if not running:
                return
            self.together.append(len(running))
            trial, training = running.popleft()
            try:
                next(training)
                running.append((trial, training))
            except StopIteration as ended:
                on_end(trial, ended.value)

    def _train(
        self, trial: TrialPlan, on_step: Any, on_eval: Any, on_snapshot: Any = no_snapshot
    ) -> Generator[None, None, Outcome]:
        per_epoch = trial.total_steps // EPOCHS
        stepped, evals = taken_up(trial)
        for epoch in range(len(evals) + 1, EPOCHS + 1):
            verdict = Verdict.CONTINUE
            step = epoch * per_epoch if epoch < EPOCHS else trial.total_steps
            if epoch > stepped:
                self.before(trial, epoch)
                taken = Step(step, trial.total_steps, float(epoch), {"train/loss": 1.0 / epoch}, epoch / EPOCHS)
                verdict = self._settled(trial, on_step(trial, taken))
            if verdict is Verdict.CONTINUE:
                accuracy = self._accuracy(trial, epoch)
                if math.isnan(accuracy):
                    return Failed(FailureReason.DIVERGED, "loss is nan", tuple(evals), Cost(seconds=1.0))
                evals.append(
                    EvalPoint(epoch, step, float(epoch), {"eval/accuracy": accuracy, "eval/loss": 1 - accuracy})
                )
                verdict = self._settled(trial, on_eval(trial, evals[-1]))
                if step == trial.total_steps and verdict is Verdict.INTERRUPT:
                    verdict = Verdict.CONTINUE
            if self.snapshots and epoch < EPOCHS or verdict is Verdict.INTERRUPT:
                on_snapshot(trial, toy_snapshot(epoch, step, evals))
            if verdict is not Verdict.CONTINUE:
                return _stopped(verdict, tuple(evals))
            if epoch < EPOCHS:
                yield
        best = max(evals, key=lambda point: point.metrics["eval/accuracy"])
        cost = Cost(seconds=1.0, steps=trial.total_steps, measured=self.measures(trial))
        return Completed(best, tuple(evals), cost)

    def _settled(self, trial: TrialPlan, verdict: Verdict) -> Verdict:
        """Return the verdict; a trial without snapshots is not put away."""
        if verdict is not Verdict.PUT_AWAY:
            return verdict
        saved = self.savable and trial.settings.snapshot_every is not None
        return Verdict.INTERRUPT if saved else Verdict.CONTINUE

    def _accuracy(self, trial: TrialPlan, epoch: int) -> float:
        rate = trial.config.optimizer.learning_rate
        return 1 / (1 + abs(math.log10(rate) + 3)) - 0.01 * abs(epoch - 2) + self.luck(trial)


def toy_snapshot(epoch: int, step: int, evals: Sequence[EvalPoint], *, seconds: float = 0.0) -> Snapshot:
    """Return a snapshot of a toy trial, which took so many seconds: the steps of `epoch` are taken,
    the evaluations made."""
    state = json.dumps(
        {"epoch": epoch, "evals": [(one.index, one.step, one.epoch, dict(one.metrics)) for one in evals]}
    )
    known = {VERSION: str(FORMAT), STEP: str(step), SECONDS: str(seconds), STATE: state}
    header = json.dumps({"__metadata__": known}).encode()
    return Snapshot(len(header).to_bytes(8, "little") + header)


def taken_up(trial: TrialPlan) -> tuple[int, list[EvalPoint]]:
    """Return the epoch whose steps are taken, and the evaluations, of a trial's snapshot."""
    if trial.snapshot is None:
        return 0, []
    state = trial.snapshot.state
    return state["epoch"], [EvalPoint(*point) for point in state["evals"]]


def _stopped(verdict: Verdict, evals: tuple[EvalPoint, ...]) -> Outcome:
    if verdict is Verdict.PRUNE:
        return Pruned(evals, Cost())
    reason = FailureReason.INTERRUPTED if verdict is Verdict.INTERRUPT else FailureReason.TIMED_OUT
    return Failed(reason, f"verdict {verdict}", evals, Cost())


@dataclass(frozen=True)
class ToySession(Session):
    toy: ToyEngine = field(default_factory=ToyEngine)

    def engine(self, _points: int | None = None, _at_once: Callable[[], int | None] = lambda: None) -> Any:
        return self.toy


def plan(folder: Path, *overrides: str) -> Plan:
    return _made(f"run_dir={folder / 'run'}", *overrides)


def _made(*overrides: str) -> Plan:
    return make_plan(["+experiment=quickstart", "tracker=none", *overrides])


_remembered = lru_cache(maxsize=256)(_made)


@contextmanager
def session(folder: Path, *overrides: str, engine: ToyEngine | None = None) -> Iterator[ToySession]:
    """Open a session whose run directory is `folder / "run"`.

    Sessions with the same overrides share a plan, which takes a quarter of a second to make,
    unless an override names a file, which may have changed.
    """
    own = any("/" in override for override in overrides)
    made: Any = plan(folder, *overrides) if own else _remembered(*overrides)
    absent: Any = None
    store = Store(folder / "run")
    with store.held(), stop_on_signals() as stop:
        view, tracker = View(made.config.study), NullTracker()
        study_run = StudyRun(tracker, store, made.config, rows=len(made.splits.train))
        ended = EndedTrials.of(made, store)
        yield ToySession(made, store, tracker, absent, view, stop, ended, study_run, engine or ToyEngine())
