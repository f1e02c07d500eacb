"""Pruners that pause a trial, and let it go on later from its snapshot."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from optuna.pruners import BasePruner
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

# User attributes of a trial, in report steps.
WARMUP = "warmup"  # the last step at which the trial was scored within its warmup
SCHEDULE = "schedule"  # the step of the trial's last evaluation, at the end of its schedule
RATES = "rates"  # the sum of the learning rates over its schedule, which is not in report steps
EVALUATIONS = "evaluations"  # {"STEP": [progress of the schedule, loss or None]}
PAUSED_AT = "paused_at"  # the step at which the trial is paused; 0 after it has gone on


@dataclass(frozen=True, slots=True)
class Learning:
    """The learning that a trial has done at an evaluation, by which a pruner compares trials of
    unlike schedules.

    `progress` is the sum of its learning rates so far as a share of `rates`, their sum over its
    schedule, which is None where it is not known; `schedule` is the report step of its last
    evaluation. `loss` is None where trials are not compared by it.
    """

    progress: float
    rates: float | None
    schedule: int
    loss: float | None

    def attributes(self, known: Mapping[str, Any], step: int) -> dict[str, Any]:
        """Return the user attributes to write at a report step of a trial with those `known`."""
        fixed = {SCHEDULE: self.schedule, RATES: self.rates}
        new = {name: value for name, value in fixed.items() if value is not None and name not in known}
        return {**new, EVALUATIONS: {**known.get(EVALUATIONS, {}), str(step): [self.progress, self.loss]}}


class Decision(StrEnum):
    """The answer of a pruner to an evaluation."""

    GO_ON = "go_on"
    PAUSE = "pause"
    STOP = "stop"


class PromotingPruner(BasePruner):
    """A pruner that pauses trials and promotes them.

    A paused trial is RUNNING in Optuna and has the user attribute `PAUSED_AT`. The pruner decides
    by the trials of the study alone, so that it decides alike after a restart.
    """

    @abstractmethod
    def decide(self, study: Study, trial: FrozenTrial) -> Decision:
        """Return whether the trial goes on after the evaluation that it reported last."""

    @abstractmethod
    def promote(self, study: Study, *, new: bool) -> int | None:
        """Return the number of the paused trial that goes on in a free slot, or None.

        With `new` the study lacks points, and None asks for one. Otherwise None leaves the slot
        empty until another trial is evaluated; without one, the search is over.
        """

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Return whether the trial leaves its slot, for callers that cannot pause it."""
        return self.decide(study, trial) is not Decision.GO_ON


def is_paused(trial: FrozenTrial) -> bool:
    return trial.state is TrialState.RUNNING and bool(trial.user_attrs.get(PAUSED_AT))
