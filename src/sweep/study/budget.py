"""The budget of a study: what its search has used up over all runs, and what is left."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from sweep.config.budget import BudgetConfig
from sweep.records.events import events_path
from sweep.records.spent import Spent, limited, read_spent, write_spent
from sweep.records.store import Store
from sweep.records.trial import TrialPlan

_NOTED_EVERY = 10.0  # seconds between two notes: so much of the time is lost when a process is killed


@dataclass(slots=True)
class Budget:
    """Counts what the search uses up.

    Times are measured by a clock that does not jump. A trial's device time is its share of the
    time of its device, as in its record (`Cost.seconds`); what a trial trained after its last
    snapshot, before its process was killed, counts as well.
    """

    limits: BudgetConfig
    store: Store
    started: Callable[[], int]  # the number of trials that have started
    earlier: Spent
    began: float
    _device_seconds: float = 0.0
    _known: dict[int, float] = field(default_factory=dict)  # seconds of each trial that were counted
    _noted: float = -math.inf
    _since: tuple[float, float] | None = None  # the time of the first count, and the device seconds then

    @classmethod
    def open(cls, limits: BudgetConfig, store: Store, started: Callable[[], int]) -> Budget:
        """Return the budget of the study in `store`. A study of an earlier version has spent what
        its records say."""
        recorded = math.fsum(record.outcome.cost.seconds for record in store.trials())
        earlier = read_spent(store.root) or Spent(recorded, recorded)
        earlier = replace(earlier, device_seconds=max(earlier.device_seconds, recorded))
        return cls(limits, store, started, earlier, began=time.monotonic())

    @property
    def spent(self) -> Spent:
        """Return what was used up so far, over all runs."""
        return Spent(
            self.earlier.seconds + time.monotonic() - self.began,
            self.earlier.device_seconds + self._device_seconds,
            self.started(),
        )

    def count(self, plan: TrialPlan, seconds: float) -> None:
        """Count the time of a trial, which has trained for so many seconds since it first
        started. One whose snapshot may be on its worker counts from what it says first."""
        before = self._known.get(plan.number)
        if before is None:  # only then: reading a snapshot's header takes longer than a step of a small head
            before = self._seconds_before(plan, seconds)
        self._device_seconds += max(seconds - before, 0.0)
        self._known[plan.number] = max(seconds, before)  # less until the engine has taken up the snapshot
        if self._since is None:
            self._since = time.monotonic(), self._device_seconds
        if time.monotonic() - self._noted > _NOTED_EVERY:
            self.note()

    def _seconds_before(self, plan: TrialPlan, seconds: float) -> float:
        """Return for how many of the first `seconds` that it reports a trial had trained before it
        was taken up."""
        if plan.snapshot is not None:
            return plan.snapshot.seconds
        taken_up = events_path(self.store.trial_dir(plan.number)).exists()
        return seconds if taken_up and plan.kept_on_worker else 0.0

    def ended(self, plan: TrialPlan, seconds: float) -> None:
        """Count the whole time of a trial that has ended or was put away."""
        self.count(plan, seconds)
        del self._known[plan.number]  # it may go on from an earlier snapshot

    def note(self) -> None:
        """Write what was used up. A disk that fails is no failure of the trials: the next note
        comes later."""
        self._noted = time.monotonic()
        with suppress(OSError):
            write_spent(self.store.root, self.spent)

    @property
    def seconds_left(self) -> float | None:
        """Return the wall-clock seconds that the search may still take; None without a limit of
        time, or before it is known how many devices train."""
        spent, limits, devices = self.spent, self.limits, self._devices
        left = [] if limits.seconds is None else [limits.seconds - spent.seconds]
        if limits.device_hours is not None and devices > 0:
            left.append((3600 * limits.device_hours - spent.device_seconds) / devices)
        return max(min(left), 0.0) if left else None

    @property
    def trials_left(self) -> int | None:
        """Return the number of trials that may still start; None without a limit."""
        limit = self.limits.trials
        return None if limit is None else max(limit - self.started(), 0)

    @property
    def _devices(self) -> float:
        """Return the number of devices that have trained at once, on average; 0 where nothing was
        trained yet."""
        if self._since is None:
            return 0.0
        moment, before = self._since
        elapsed = time.monotonic() - moment
        return (self._device_seconds - before) / elapsed if elapsed > 0 else 0.0

    @property
    def used_up(self) -> tuple[str, ...]:
        """Return the keys of the limits that are used up."""
        return tuple(one.key for one in limited(self.limits, self.spent) if not one.left)

    @property
    def time_used_up(self) -> tuple[str, ...]:
        """Return the keys of the limits of time that are used up, so that trials that run are put
        away."""
        return tuple(key for key in self.used_up if key != "trials")
