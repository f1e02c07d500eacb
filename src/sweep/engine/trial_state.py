"""The state of one trial while it trains: counts, evaluations, verdicts, and why it ended.

The Trainer's callback (`sweep.engine.callback`), the loop over cached features
(`sweep.engine.cached_head`) and the packed engine (`sweep.engine.packed`) all drive it by the same
calls: `on_train_begin`, then `on_batch` for each batch, `on_step` for each optimizer step (with
`on_log` where metrics are due), and `on_eval` for each evaluation.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sweep.config.settings import TrainSettings
from sweep.engine import memory
from sweep.engine.clock import Clock
from sweep.engine.evaluation import Predictions, measure
from sweep.engine.out_of_fold import reported
from sweep.engine.protocol import StudyCallbacks
from sweep.engine.running_loss import RunningLoss
from sweep.engine.second_objective import measured_so_far, undefined
from sweep.engine.snapshot import encode, made_by
from sweep.engine.snapshot_timer import Position, SnapshotTimer, never
from sweep.engine.trial_steps import TrialSteps
from sweep.engine.warning import warn_once
from sweep.engine.weight_keeper import KeepsNothing, WeightKeeper
from sweep.records.cost import Cost
from sweep.records.snapshot import Snapshot
from sweep.records.trial import Completed, EvalPoint, Failed, FailureReason, Metrics, Outcome, Pruned, Step, Verdict

LOGGED = ("loss", "learning_rate", "grad_norm")
_COUNTS = ("step", "epoch", "samples", "eval_samples", "idle", "stopped_early", "trained_parameters", "flops_ahead")


class Stopped(Exception):
    """The study has ended the trial before its first step, or while it was evaluated."""


@dataclass(slots=True)
class TrialState:
    """One trial between its first batch and its outcome.

    `study` are the callbacks by which it hears of each step and evaluation, and answers with a
    verdict, and by which it gets snapshots. `labels` are the names of the labels.

    A verdict of PRUNE is kept in `verdict`; every other early end except early stopping is a
    `failure`. A trial that is `put_away` ends when a snapshot holds all of it; one that cannot be
    saved trains on. `went_on`: it goes on from a snapshot.
    """

    settings: TrainSettings
    clock: Clock
    study: StudyCallbacks
    steps: TrialSteps
    keeper: WeightKeeper = field(default_factory=KeepsNothing)
    trained_parameters: int = 0
    labels: tuple[str, ...] = ()
    snapshots: SnapshotTimer = field(default_factory=never)

    step: int = 0
    epoch: float = 0.0
    samples: int = 0
    eval_samples: int = 0
    evals: list[EvalPoint] = field(default_factory=list)
    best: EvalPoint | None = None
    idle: int = 0  # evaluations in a row without a gain, without the early ones of the first epoch
    verdict: Verdict = Verdict.CONTINUE
    failure: tuple[FailureReason, str] | None = None
    stopped_early: bool = False
    put_away: bool = False
    went_on: bool = False
    loss: RunningLoss = field(default_factory=RunningLoss)
    flops_ahead: float = 0.0  # floating-point operations before the first step
    heard: float = field(default_factory=time.monotonic)  # when the study gave its last verdict on a step

    @property
    def ended(self) -> bool:
        """Return whether the trial ends before its last step."""
        return self.stopped_early or self.failure is not None or self.verdict is not Verdict.CONTINUE

    @property
    def finished(self) -> bool:
        """Return whether no further step is to be taken."""
        return self.ended or self.at_last_step

    @property
    def at_last_step(self) -> bool:
        return self.step >= min(self.steps.last, self.steps.schedule)

    @property
    def evaluation_due(self) -> bool:
        """Return whether the validation split is to be read after the present step."""
        evaluated = bool(self.evals) and self.evals[-1].step == self.step
        return self.step in self.steps.evaluated and not self.ended and not evaluated

    @property
    def interrupted(self) -> bool:
        """Return whether the user or the system stopped the trial, which can go on later."""
        return self.failure is not None and self.failure[0] is FailureReason.INTERRUPTED

    @property
    def position(self) -> Position:
        return self.samples, len(self.evals)

    def offer_snapshot(self, parts: Callable[[], Mapping[str, Any]]) -> None:
        """Take a snapshot and report it, where one is due or the trial was interrupted. `parts`
        returns all that is not in this state: the name of the engine, as in `Cost`, weights,
        optimizer, place in the data.

        Call it between two batches and after the last one, after evaluations. A trial that is put
        away may end by it.
        """
        due = self.snapshots.due(self.position)
        if self.interrupted or self.finished or self.put_away:
            completed = self.failure is None and self.verdict is Verdict.CONTINUE
            going = self.put_away and not self.finished
            wanted = self.interrupted or going or (completed and self.snapshots.at_end)
            due = wanted and self.snapshots.gained(self.position)
        if due:
            with self.clock.set_aside():
                self.snapshots.take(self.position, lambda: self._snapshot(parts()), self.study.on_snapshot)
        if not self.finished:
            self._leave_if_saved()

    def _snapshot(self, parts: Mapping[str, Any]) -> Snapshot:
        state = {"trial": self.state_dict(), "made_by": made_by(self.settings), **parts}
        return encode(state, self.step, seconds=(seconds := self.clock.total()), devices=self.clock.devices(seconds))

    def _leave_if_saved(self) -> None:
        """End a trial that is put away, where it has not gone on since its snapshot or start."""
        if self.put_away and self.position == self.snapshots.position:
            self.fail(FailureReason.INTERRUPTED, f"after step {self.step}")

    def state_dict(self) -> dict[str, Any]:
        """Return the counts, evaluations and seconds of the trial."""
        return {
            **{name: getattr(self, name) for name in _COUNTS},
            **self.loss.state_dict(),
            "evals": [(point.index, point.step, point.epoch, dict(point.metrics)) for point in self.evals],
            "best": None if self.best is None else self.best.index,
            "clock": self.clock.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put a `state_dict` back: call it after `on_train_begin`."""
        for name in _COUNTS:
            setattr(self, name, state[name])
        self.loss.load_state_dict(state)
        self.evals = [EvalPoint(*point) for point in state["evals"]]
        self.best = next((point for point in self.evals if point.index == state["best"]), None)
        self.clock.load_state_dict(state["clock"])
        self.snapshots.taken(self.position, 0.0)
        self.went_on = True
        # An interruption comes before patience: the trial may have been stopped where it ran out.
        self.stopped_early = self.stopped_early or (not self.at_last_step and self._out_of_patience())

    def check_stop(self, *, unheard: float = 0.0) -> None:
        """Ask the study before the first step, or in the middle of an evaluation, whether the
        trial goes on, where it has given no verdict for `unheard` seconds. Raises `Stopped` where
        it does not: the evaluation is due again when the trial is taken up."""
        if time.monotonic() - self.heard >= unheard:
            self.apply(self.study.on_step(self._present({})))
            self.heard = time.monotonic()
        if self.ended:
            raise Stopped

    def ask(self, *, unheard: float = 0.0) -> None:
        """Ask the study between two steps whether the trial goes on, where it has given no verdict
        for `unheard` seconds: report the present step once more, without metrics."""
        if not self.ended and time.monotonic() - self.heard >= unheard:
            self._report({})

    def apply(self, verdict: Verdict) -> None:
        match verdict:
            case Verdict.CONTINUE:
                return
            case Verdict.PRUNE:
                self.verdict = verdict
            case Verdict.INTERRUPT:
                self.fail(FailureReason.INTERRUPTED, f"after step {self.step}")
            case Verdict.PUT_AWAY:
                self.put_away = True
                self._leave_if_saved()
            case Verdict.TIME_OUT:
                self.fail(FailureReason.TIMED_OUT, f"out of time after step {self.step}")
            case Verdict.INFEASIBLE:
                self.fail(FailureReason.INFEASIBLE, f"beyond a limit of the study after step {self.step}")

    def fail(self, reason: FailureReason, message: str) -> None:
        """Note why the trial failed; the first failure is the one that counts."""
        self.failure = self.failure or (reason, message)

    def on_train_begin(self) -> None:
        self.clock.begin_loop()

    def on_batch(self, rows: int, loss: Tensor) -> None:
        """Count a batch that went forward and backward. `loss` is its part of the loss of the
        optimizer step."""
        self.samples += rows
        self.loss.add(loss)

    def on_step(self, epoch: float) -> bool:
        """Count an optimizer step. Return True where its metrics are to be logged: `on_log` must
        follow, and reports the step. Otherwise the step has been reported."""
        self.step, self.epoch = self.step + 1, epoch
        if self.loss.bad is not None:
            self._diverge("training loss", self.loss.bad)
            return False
        if self.step % self.settings.trainer.logging_steps == 0 or self.at_last_step:
            return True
        self._report({})
        return False

    def on_log(self, *, learning_rate: float, grad_norm: float) -> None:
        """Report the step with the mean loss since the last logged step, its learning rate and the
        norm of its gradients before clipping. A norm that is not finite is left out: with fp16
        such a step is skipped, and is no divergence."""
        loss = self.loss.since_last_log(self.step)
        if not math.isfinite(loss):
            self._diverge("training loss", loss)
            return
        values = {"loss": loss, "learning_rate": learning_rate, "grad_norm": grad_norm}
        metrics = {f"train/{name}": values[name] for name in LOGGED if math.isfinite(values[name])}
        self._report({**metrics, "train/epoch": self.epoch})

    def on_eval(self, found: Predictions) -> None:
        """Take in an evaluation of the validation split after the present step, and report it."""
        settings = self.settings
        with self.clock.on_evaluation():
            self.eval_samples += len(found.labels)
            metrics = self._measured(found) if found.finite else {}
        if not metrics:
            self._diverge("validation loss", found.loss)
            return
        with self.clock.set_aside():
            self.keeper.keep_newest()
            if self.add(self.step, self.epoch, metrics):
                self.keeper.keep()
            self.snapshots.evaluated = True
            verdict = self.study.on_eval(reported(self.evals[-1], found, settings))
        self.judge(verdict)

    def _measured(self, found: Predictions) -> Metrics:
        """Return the metrics of an evaluation. One of the user's own that fails is NaN, and the
        log says why, once."""
        settings = self.settings
        cut, own = settings.trainer.search_threshold, settings.metrics
        measured = measure(settings.task, found, "eval", cut, own=own, labels=self.labels)
        for name, reason in measured.failed.items():
            warn_once(f"{reason}; {name} is NaN where this happens", about=name)
        return measured.values

    def add(self, step: int, epoch: float, metrics: Metrics) -> bool:
        """Add an evaluation. Return True if it is the best so far.

        Among evaluations with equal scores the one with the lowest loss is the best, and the
        earliest if the losses are equal too. Patience counts gains of the score alone.
        """
        objective, trainer = self.settings.objective, self.settings.trainer
        point = EvalPoint(len(self.evals) + 1, step, epoch, metrics, measured_so_far(objective, self._cost_so_far))
        self.evals.append(point)
        gain = self._gain(objective.of(metrics))
        early = trainer.eval_strategy == "early" and epoch < 1  # serves the pruner; patience counts epochs
        self.idle = self.idle + 1 if gain <= trainer.early_stopping_threshold and not early else 0
        best = self.best is None or objective.better(metrics, self.best.metrics)
        if best:
            self.best = point
        return best

    def _gain(self, score: float) -> float:
        """Return how much better a score is than the best one. A score that is no finite number,
        as a metric may be that is not defined on these rows, is no gain."""
        before = math.nan if self.best is None else self.settings.objective.of(self.best.metrics)
        if not math.isfinite(score):
            return -math.inf
        return self.settings.objective.gain(score, before) if math.isfinite(before) else math.inf

    def mean_loss(self) -> float | None:
        """Return the training loss, mean over steps; None before the first step."""
        return self.loss.mean(self.step)

    def cost(
        self, device: torch.device, *, engine: str, train_seconds: float, flops: float, train_loss: float | None
    ) -> Cost:
        """Return what the trial took up to now; `flops` are those since the first step."""
        return Cost(
            seconds=(seconds := self.clock.total()),
            train_seconds=train_seconds,
            eval_seconds=self.clock.evaluating,
            steps=self.step,
            samples=self.samples,
            eval_samples=self.eval_samples,
            flops=flops + self.flops_ahead,
            train_loss=train_loss if train_loss is not None and math.isfinite(train_loss) else None,
            peak_host_bytes=memory.peak_host_bytes(),
            peak_device_bytes=memory.peak_device_bytes(device),
            device=memory.device_name(device),
            engine=engine,
            trained_parameters=self.trained_parameters,
            host=self.clock.place.host,
            worker=self.clock.place.worker,
            devices=self.clock.devices(seconds),
        )

    def _cost_so_far(self) -> Cost:
        return self.cost(
            self.loss.device, engine="", train_seconds=self.clock.training(), flops=0.0, train_loss=None
        )  # fmt: skip

    def failed(self, cost: Cost) -> Failed | None:
        return self.failure and Failed(*self.failure, evals=tuple(self.evals), cost=cost)

    def outcome(self, cost: Cost) -> Outcome:
        """Return the outcome of a training that was evaluated."""
        evals = tuple(self.evals)
        if (failed := self.failed(cost)) is not None:
            return failed
        if self.verdict is Verdict.PRUNE:
            return Pruned(evals=evals, cost=cost)
        assert self.best is not None, "the last step is always evaluated"
        if message := undefined(self.settings.objective, self.best.metrics):
            return Failed(FailureReason.DIVERGED, message, evals=evals, cost=cost)
        return Completed(best=self.best, evals=evals, cost=cost, stopped_early=self.stopped_early)

    def _report(self, metrics: Metrics) -> None:
        with self.clock.set_aside():
            verdict = self.study.on_step(self._present(metrics))
        self.heard = time.monotonic()
        self.apply(verdict)

    def _present(self, metrics: Metrics) -> Step:
        return Step(self.step, self.steps.last, self.epoch, metrics, self.clock.total())

    def judge(self, verdict: Verdict) -> None:
        """Apply the verdict on an evaluation. After its last evaluation a trial is complete, not
        interrupted; but it can be pruned."""
        if verdict is Verdict.PRUNE or not self.at_last_step:
            self.apply(verdict)
        if not self.at_last_step and not self.ended and self._out_of_patience():
            self.stopped_early = True

    def _out_of_patience(self) -> bool:
        patience = self.settings.trainer.early_stopping_patience
        return patience is not None and self.idle >= patience

    def _diverge(self, name: str, loss: float) -> None:
        self.fail(FailureReason.DIVERGED, f"{name} is {loss} at step {self.step} of {self.steps.schedule}")
