"""What the Trainer's events mean for a trial: when it logs and evaluates, what is reported, and when it ends."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from sweep.config.schema import Config
from sweep.config.steps import evaluation_steps
from sweep.engine import memory
from sweep.engine.best import Best
from sweep.engine.evaluation import Predictions, measure
from sweep.engine.trial_state import Clock, Course
from sweep.model.state import trained_parameters
from sweep.records.trial import Cost, EvalPoint, FailureReason, Metrics, Step, Verdict

OnStep = Callable[[Step], Verdict]
OnEval = Callable[[EvalPoint], Verdict]

LOGGED = ("loss", "learning_rate", "grad_norm")


@dataclass(slots=True)
class Reporting(TrainerCallback):
    """Reports each step once: at once where the Trainer logs nothing, together with what it logs where it does.

    `due` are the steps after which it is evaluated, the last one among them. `evaluate` reads the
    validation split; `keep_newest` is called after each evaluation and `keep` after one that is the best so far, before
    it is reported. A training that is never evaluated has none of this, and a step to `stop` after, which may come before
    the end of its schedule.
    """

    course: Course
    clock: Clock
    due: frozenset[int]
    evaluate: Callable[[], Predictions]
    keep: Callable[[], None]
    keep_newest: Callable[[], None]
    on_step: OnStep
    on_eval: OnEval
    stop: int | None = None
    trained_parameters: int = 0
    bad_loss: float | None = None

    @classmethod
    def of(
        cls,
        config: Config,
        clock: Clock,
        best: Best,
        *,
        rows: int,
        evaluate: Callable[[], Predictions],
        on_step: OnStep,
        on_eval: OnEval,
        stop: int | None = None,
    ) -> Reporting:
        """Of a trial that trains on so many rows; with a step to `stop` after, of a training without evaluations."""
        due = frozenset(evaluation_steps(rows, config) if stop is None else ())
        return cls(
            Course(config), clock, due, evaluate, best.keep, best.keep_newest, on_step, on_eval, stop,
            trained_parameters(best.model),
        )  # fmt: skip

    def batch_done(self, rows: int, loss: Tensor) -> None:
        """On a GPU the loss stays where it is until it is logged: reading it would wait for the device."""
        self.course.samples += rows
        if loss.device.type == "cpu" and not math.isfinite(value := loss.item()):
            self.bad_loss = value

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.clock.begin_loop()

    def on_step_end(
        self,
        args: TrainingArguments,  # noqa: ARG002
        state: TrainerState,
        control: TrainerControl,
        **_: Any,
    ) -> None:
        if self.bad_loss is not None:
            self._diverge("training loss", self.bad_loss, state, control)
            return
        stopped = self.stop is not None and state.global_step >= self.stop
        control.should_log = control.should_log or stopped or state.global_step >= state.max_steps
        control.should_evaluate = state.global_step in self.due
        control.should_training_stop = control.should_training_stop or stopped
        if not control.should_log:
            self._report({}, state, control)

    def on_log(
        self,
        args: TrainingArguments,  # noqa: ARG002
        state: TrainerState,
        control: TrainerControl,
        **given: Any,
    ) -> None:
        logs: dict[str, float] = given["logs"]
        if "loss" not in logs:
            return  # the Trainer's summary at the end
        if not math.isfinite(logs["loss"]):
            self._diverge("training loss", logs["loss"], state, control)
            return
        # With fp16 a gradient may overflow: that step is skipped and the scale lowered, so it is no divergence.
        metrics = {f"train/{name}": float(logs[name]) for name in LOGGED if math.isfinite(logs.get(name, math.nan))}
        self._report({**metrics, "train/epoch": float(state.epoch)}, state, control)

    def on_evaluate(
        self,
        args: TrainingArguments,  # noqa: ARG002
        state: TrainerState,
        control: TrainerControl,
        **_: Any,
    ) -> None:
        config = self.course.config
        with self.clock.on_evaluation():
            found = self.evaluate()
            self.course.eval_samples += len(found.labels)
            metrics = {}
            if found.finite:
                metrics = measure(
                    config.dataset.task, found, "eval", config.trainer.search_threshold, own=config.dataset.metrics
                )
        if not metrics:
            self._diverge("validation loss", found.loss, state, control)
            return
        with self.clock.set_aside():
            self.keep_newest()
            if self.course.add(state.global_step, float(state.epoch), metrics):
                self.keep()
            verdict = self.on_eval(self.course.evals[-1])
        self._judge(verdict, state, control)

    def cost(
        self,
        device: torch.device,
        *,
        engine: str,
        train_seconds: float,
        steps: int,
        flops: float,
        train_loss: float | None,
    ) -> Cost:
        """What the trial took up to now."""
        return Cost(
            seconds=self.clock.total(),
            train_seconds=train_seconds,
            eval_seconds=self.clock.evaluating,
            steps=steps,
            samples=self.course.samples,
            eval_samples=self.course.eval_samples,
            flops=flops,
            train_loss=train_loss if train_loss is not None and math.isfinite(train_loss) else None,
            peak_host_bytes=memory.peak_host_bytes(),
            peak_device_bytes=memory.peak_device_bytes(device),
            device=memory.device_name(device),
            engine=engine,
            trained_parameters=self.trained_parameters,
        )

    def _judge(self, verdict: Verdict, state: TrainerState, control: TrainerControl) -> None:
        """A trial that has just been evaluated for the last time is done, not interrupted; but it can be pruned."""
        last = state.global_step >= state.max_steps
        if verdict is Verdict.PRUNE or not last:
            self.course.obey(verdict, state.global_step)
        if not last and not self.course.ended and self.course.out_of_patience():
            self.course.stopped_early = True
        self._stop_if_ended(control)

    def _report(self, metrics: Metrics, state: TrainerState, control: TrainerControl) -> None:
        total = state.max_steps if self.stop is None else self.stop
        step = Step(state.global_step, total, float(state.epoch), metrics, self.clock.total())
        with self.clock.set_aside():
            verdict = self.on_step(step)
        self.course.obey(verdict, state.global_step)
        self._stop_if_ended(control)

    def _diverge(self, what: str, loss: float, state: TrainerState, control: TrainerControl) -> None:
        step = f"step {state.global_step} of {state.max_steps}"
        self.course.fail(FailureReason.DIVERGED, f"{what} is {loss} at {step}")
        self._stop_if_ended(control)

    def _stop_if_ended(self, control: TrainerControl) -> None:
        if self.course.ended:
            control.should_training_stop = True
            control.should_log = False
            control.should_evaluate = False
