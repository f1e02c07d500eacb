"""Pruners that pause a trial, and let it go on later from its snapshot."""

from __future__ import annotations

from abc import abstractmethod
from enum import StrEnum

from optuna.pruners import BasePruner
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

# User attributes of a trial, in report steps.
WARMUP = "warmup"  # the last step at which the trial was scored within its warmup
SCHEDULE = "schedule"  # the step of the trial's last evaluation, at the end of its schedule
RATES = "rates"  # the sum of the learning rates over its schedule, which is not in report steps
EVALUATIONS = "evaluations"  # {"STEP": [progress of the schedule, loss or None]}
PAUSED_AT = "paused_at"  # the step at which the trial is paused; 0 after it has gone on


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
