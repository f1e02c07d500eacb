"""The limits that end a search before it has all its trials: time, a budget that is used up, and
failures in a row."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sweep.config.schema import StudyConfig
from sweep.records.spent import limited
from sweep.records.store import Store
from sweep.records.trial import Outcome, TrialPlan
from sweep.study.budget import Budget
from sweep.study.failures_in_a_row import FailuresInARow


@dataclass(slots=True)
class Limits:
    """The time, the budget and the failures in a row of a search. `timeout` is in seconds since it
    `began`."""

    budget: Budget
    failures: FailuresInARow
    timeout: float | None = None
    began: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, config: StudyConfig, store: Store, started: Callable[[], int]) -> Limits:
        """Return the limits of a study; `started` returns how many of its trials have started."""
        failures = FailuresInARow(config.max_failures_in_a_row)
        return cls(Budget.open(config.budget, store, started), failures, config.timeout)

    @property
    def in_time(self) -> bool:
        """Return whether trials may start by `study.timeout`."""
        return self.timeout is None or time.monotonic() - self.began < self.timeout

    @property
    def only_time_is_up(self) -> bool:
        """Return whether no trial may run for the budget's time alone."""
        return not self.failures.reached and bool(self.budget.time_used_up)

    @property
    def seconds_left(self) -> float | None:
        """Return the wall-clock seconds that the search may still take, by `study.timeout` and the
        budget; None without a limit of time."""
        left = [] if self.timeout is None else [max(self.timeout - (time.monotonic() - self.began), 0.0)]
        left += [] if (in_budget := self.budget.seconds_left) is None else [in_budget]
        return min(left, default=None)

    def most(self, begun: int) -> int | None:
        """Return the number of trials that the study can come to, of which `begun` have ended, run
        or go on later; None without a limit."""
        left = self.budget.trials_left
        return None if left is None else begun + left

    def allow(self, *, begun: bool) -> bool:
        """Return whether one more trial may run: a new one, or one that was `begun` before."""
        budget = self.budget
        return not self.failures.reached and not (budget.time_used_up if begun else budget.used_up)

    def put_away(self, *, to_end: bool) -> bool:
        """Return whether a trial that runs is put away, to go on when the study does. Where it is
        trained `to_end`, the time of the budget does not matter."""
        return self.failures.reached or (bool(self.budget.time_used_up) and not to_end)

    def spend(self, plan: TrialPlan, seconds: float) -> None:
        """Count the time of a trial that has trained for so many seconds."""
        self.budget.count(plan, seconds)

    def ended(self, plan: TrialPlan, outcome: Outcome) -> None:
        """Count the end of a trial."""
        self.budget.ended(plan, outcome.cost.seconds)
        self.failures.ended(plan.number, outcome)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Note what was used up at the end of the context."""
        try:
            yield
        finally:
            self.budget.note()

    def conclude(self, say: Callable[[str], None], *, completed: bool, wanted: bool) -> None:
        """Tell the user what was used up of the budget, and where nothing is left.

        `completed` says that the study has a completed trial, `wanted` that it lacks trials.
        Raises UserError where failures in a row stopped the study before it had all of them.
        """
        if self.failures.reached and wanted:
            raise self.failures.error()
        amounts = limited(self.budget.limits, self.budget.spent)
        if amounts:
            say(f"budget: {', '.join(map(str, amounts))} used up")
        for key in self.budget.used_up:
            small = "" if completed else ", and no trial has completed"
            say(f"note: study.budget.{key} is used up{small}; no further trial starts until it is raised")
