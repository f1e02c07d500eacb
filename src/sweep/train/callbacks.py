"""What the Trainer's events mean for a trial: when it logs and evaluates, what is reported, and when it ends."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from sweep.records import EvalPoint, FailureReason, Metrics, Step, Verdict
from sweep.train.course import Clock, Course

OnStep = Callable[[Step], Verdict]
OnEval = Callable[[EvalPoint], Verdict]

LOGGED = ("loss", "learning_rate", "grad_norm")


class Reporting(TrainerCallback):  # type: ignore[misc]
    """Reports each step once: at once where the Trainer logs nothing, together with what it logs where it does.

    `interval` is the number of steps between evaluations, None for one at the end only.
    """

    def __init__(self, course: Course, clock: Clock, *, interval: int | None, on_step: OnStep, on_eval: OnEval) -> None:
        self.course = course
        self.clock = clock
        self.interval = interval
        self.on_step = on_step
        self.on_eval = on_eval
        self.loss: float | None = None

    def batch_done(self, rows: int, loss: Tensor) -> None:
        """On a GPU the loss stays where it is until it is logged: reading it would wait for the device."""
        self.course.samples += rows
        if loss.device.type == "cpu" and not math.isfinite(value := loss.item()):
            self.loss = value

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.loss is not None:
            self._diverge(self.loss, state, control)
            return
        last = state.global_step >= state.max_steps
        control.should_log = control.should_log or last
        control.should_evaluate = last or (self.interval is not None and state.global_step % self.interval == 0)
        if not control.should_log:
            self._report({}, state, control)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if logs is None or "loss" not in logs:
            return  # the Trainer's summary at the end
        if not math.isfinite(logs["loss"]):
            self._diverge(logs["loss"], state, control)
            return
        metrics = {f"train/{name}": float(logs[name]) for name in LOGGED if name in logs}
        self._report({**metrics, "train/epoch": float(state.epoch)}, state, control)

    def evaluated(self, point: EvalPoint, state: TrainerState, control: TrainerControl) -> None:
        """A trial that has just been evaluated for the last time is done, not interrupted; but it can be pruned."""
        with self.clock.on("aside"):
            verdict = self.on_eval(point)
        last = state.global_step >= state.max_steps
        if verdict is Verdict.PRUNE or not last:
            self.course.obey(verdict, state.global_step)
        if not last and not self.course.ended and self.course.out_of_patience():
            self.course.stopped_early = True
        self._stop_if_ended(control)

    def _report(self, metrics: Metrics, state: TrainerState, control: TrainerControl) -> None:
        step = Step(state.global_step, total_steps=state.max_steps, epoch=float(state.epoch), metrics=metrics)
        with self.clock.on("aside"):
            verdict = self.on_step(step)
        self.course.obey(verdict, state.global_step)
        self._stop_if_ended(control)

    def _diverge(self, loss: float, state: TrainerState, control: TrainerControl) -> None:
        step = f"step {state.global_step} of {state.max_steps}"
        self.course.fail(FailureReason.DIVERGED, f"training loss is {loss} at {step}")
        self._stop_if_ended(control)

    def _stop_if_ended(self, control: TrainerControl) -> None:
        if self.course.ended:
            control.should_training_stop = True
            control.should_log = False
            control.should_evaluate = False
