"""The Trainer's events, passed on to the trial's state: when it logs, when it evaluates, and when
it ends."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from sweep.engine.evaluation import Predictions
from sweep.engine.trial_state import TrialState


@dataclass(slots=True)
class TrialCallback(TrainerCallback):
    """Drives a `TrialState` by the Trainer's events. `evaluate` scores the validation split, and
    raises Stopped where the study ends the trial meanwhile. `take_up` is called when the training
    loop has begun, with all that the Trainer needs in place."""

    trial: TrialState
    evaluate: Callable[[], Predictions]
    take_up: Callable[[], None] = lambda: None

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.trial.on_train_begin()
        self.take_up()

    def on_step_end(
        self,
        args: TrainingArguments,  # noqa: ARG002
        state: TrainerState,
        control: TrainerControl,
        **_: Any,
    ) -> None:
        control.should_log = self.trial.on_step(float(state.epoch))
        control.should_evaluate = self.trial.evaluation_due
        control.should_save = True  # the trial's state decides whether a snapshot is due
        control.should_training_stop = control.should_training_stop or self.trial.finished

    def on_log(
        self,
        args: TrainingArguments,  # noqa: ARG002
        state: TrainerState,  # noqa: ARG002
        control: TrainerControl,
        **given: Any,
    ) -> None:
        logs: dict[str, float] = given["logs"]
        if "loss" not in logs:
            return  # the Trainer's summary at the end
        rate, norm = (float(logs.get(name, math.nan)) for name in ("learning_rate", "grad_norm"))
        self.trial.on_log(learning_rate=rate, grad_norm=norm)
        self._stop_if_ended(control)

    def on_evaluate(
        self,
        args: TrainingArguments,  # noqa: ARG002
        state: TrainerState,  # noqa: ARG002
        control: TrainerControl,
        **_: Any,
    ) -> None:
        with self.trial.clock.on_evaluation():
            found = self.evaluate()
        self.trial.on_eval(found)
        self._stop_if_ended(control)

    def _stop_if_ended(self, control: TrainerControl) -> None:
        if self.trial.ended:
            control.should_training_stop = True
            control.should_log = False
            control.should_evaluate = False
