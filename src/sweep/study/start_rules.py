"""The rules by which a free slot gets a trial: how many trials a study lacks, its limits and its
stop rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sweep.study.limits import Limits
from sweep.study.optuna_study import OptunaStudy
from sweep.study.running import RunningTrial
from sweep.study.session import Session
from sweep.study.stop_rule import StopRule
from sweep.study.unfinished_trials import UnfinishedTrials


@dataclass(frozen=True, slots=True)
class StartRules:
    """Says whether a trial may begin or go on. `running` are the trials that run."""

    session: Session
    optuna_study: OptunaStudy
    running: Mapping[int, RunningTrial]
    unfinished: UnfinishedTrials
    limits: Limits
    stop_rule: StopRule

    @property
    def begun(self) -> int:
        """Return the number of trials that have ended, run, wait or are paused."""
        return self.optuna_study.counted + len(self.running) + len(self.unfinished)

    @property
    def lacks_trials(self) -> bool:
        """Return whether the study lacks trials that have ended or are running."""
        return self.optuna_study.counted + len(self.running) < self.optuna_study.wanted

    @property
    def lacks_points(self) -> bool:
        """Return whether there are fewer trials than wanted, those that go on later included."""
        return self.begun < self.optuna_study.wanted

    @property
    def stopped_by_rule(self) -> bool:
        """Return whether `study.stop` keeps new trials from starting, and paused ones from going
        on; those that wait go on."""
        return self.stop_rule.holds(self.session.ended.records, self.optuna_study.wanted)

    @property
    def may_start(self) -> bool:
        """Return whether a free slot may get a trial."""
        return self.within_limits or self.last_to_complete() is not None

    @property
    def within_limits(self) -> bool:
        """Return whether a trial may begin or go on. After `study.timeout` those that have begun
        go on one after the other, until one has completed."""
        begun = len(self.unfinished) > 0
        in_time = self.limits.in_time or (begun and self._lacks_winner)
        return in_time and self.limits.allow(begun=begun) and self._goes_on

    @property
    def may_begin(self) -> bool:
        """Return whether a new trial may begin."""
        return self.lacks_points and self.limits.in_time and self.limits.allow(begun=False)

    def last_to_complete(self) -> int | None:
        """Return the trial that completes although the time of the budget is used up, since no
        other one has; None where there is none."""
        lacking = len(self.unfinished) > 0 and self._lacks_winner and self._goes_on and self.limits.only_time_is_up
        return self.optuna_study.most_promising() if lacking else None

    @property
    def _goes_on(self) -> bool:
        """Return whether the study lacks trials, and neither the user nor `study.stop` ends it."""
        return (
            not self.session.stop.raised
            and self.lacks_trials
            and (bool(self.unfinished.waiting) or not self.stopped_by_rule)
        )

    @property
    def _lacks_winner(self) -> bool:
        return not self.running and self.session.ended.best() is None
