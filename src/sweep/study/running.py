"""A trial while it is trained, and one that waits to go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from optuna.trial import Trial

from sweep.config.schema import Scalar
from sweep.plan.pausing import unpausable
from sweep.provenance import now
from sweep.records.row_log import Row, RowLog
from sweep.records.trial import Outcome, TrialPlan, TrialRecord
from sweep.study.attributes import PROMOTIONS
from sweep.study.trial_groups import valid_scores
from sweep.track.tracker import Run


@dataclass(frozen=True, slots=True)
class Stopped:
    """A trial that was stopped before its end, and goes on under its number.

    `run` is its run on the dashboard, where this process has it open.
    """

    trial: Trial
    params: Mapping[str, Scalar]
    started: str
    run: Run | None = None

    @property
    def number(self) -> int:
        return self.trial.number


@dataclass(slots=True)
class RunningTrial:
    """A running trial. `log` has all its rows, those of earlier processes among them; with such
    rows it was `taken_up`."""

    trial: Trial
    plan: TrialPlan
    run: Run
    started: str
    place: int | None
    log: RowLog
    taken_up: bool
    step: int = 0  # the newest that was reported
    seconds: float = 0.0
    reported: int = 0  # the report step of the latest score that Optuna has
    savable: bool = True  # it can be paused
    pausing: bool = False  # the pruner has paused it; it ends when it has a snapshot
    to_end: bool = False  # it completes although the time of the budget is used up

    @classmethod
    def go_on(cls, stopped: Stopped, plan: TrialPlan, run: Run, place: int | None, log: RowLog) -> Self:
        """Return a trial that begins, or goes on after the rows in `log`."""
        reported = max(valid_scores(stopped.trial._cached_frozen_trial).intermediate_values, default=0)
        return cls(
            stopped.trial, plan, run, stopped.started, place, log, bool(log.rows), reported=reported,
            savable=not unpausable(plan.config),
        )  # fmt: skip

    @property
    def promotions(self) -> int:
        """Return how often the trial was promoted."""
        return int(self.trial.user_attrs.get(PROMOTIONS, 0))

    def stopped(self) -> Stopped:
        return Stopped(self.trial, self.plan.params, self.started, self.run)

    def record(self, outcome: Outcome) -> TrialRecord:
        """Return the record of the trial, which ends now."""
        plan = self.plan
        return TrialRecord(
            number=plan.number, params=plan.params, outcome=outcome, command=plan.command,
            total_steps=plan.total_steps, started=self.started, finished=now(), tracker_run=self.run.address,
            used=plan.used, place=self.place, pauses=self.promotions, promotions=self.promotions,
        )  # fmt: skip

    def differs(self, row: Row) -> bool:
        """Return whether another row was written of this step before the trial was stopped: the
        training takes another course since then, and its scores are reported anew."""
        if found := self.log.differs(row):
            self.reported = 0
        return found

    def add(self, row: Row) -> bool:
        """Write and log a row. Return False where it was written before the trial was stopped."""
        if not self.log.add(row):
            return False
        if self.log.show(row):
            self.run.log(row.step, row.metrics)
        return True
