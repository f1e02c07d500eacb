"""A trial while it is trained, and one that waits to go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from optuna.trial import Trial

from sweep.config.schema import Scalar
from sweep.records.events import line_of
from sweep.records.store import Store
from sweep.records.trial import EvalPoint, Step, TrialPlan
from sweep.track.tracker import Run

Event = Step | EvalPoint


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
    """A running trial. `evals` has all its evaluations, those of earlier processes among them.

    `earlier` holds the lines of the rows that were written before the trial was stopped, by kind
    and step: a training that goes on from a snapshot repeats those that came after it. `shown`
    are the rows that the dashboard has of it, which cannot be replaced there.
    """

    trial: Trial
    plan: TrialPlan
    run: Run
    started: str
    place: int | None
    store: Store
    evals: list[EvalPoint] = field(default_factory=list)
    earlier: dict[tuple[type[Event], int], str] = field(default_factory=dict)
    shown: frozenset[tuple[type[Event], int]] = frozenset()
    step: int = 0  # the newest that was reported
    seconds: float = 0.0
    reported: int = 0  # the report step of the latest score that Optuna has

    @classmethod
    def go_on(
        cls, stopped: Stopped, plan: TrialPlan, run: Run, place: int | None, store: Store, events: Sequence[Event]
    ) -> Self:
        """Return a trial that goes on after the rows `events`."""
        reported = max(stopped.trial._cached_frozen_trial.intermediate_values, default=0)
        evals = [event for event in events if isinstance(event, EvalPoint)]
        earlier = {(type(event), event.step): line_of(event) for event in events}
        return cls(
            stopped.trial, plan, run, stopped.started, place, store, evals, earlier, frozenset(earlier), reported=reported
        )  # fmt: skip

    def stopped(self) -> Stopped:
        return Stopped(self.trial, self.plan.params, self.started, self.run)

    def repeats(self, event: Event) -> bool:
        """Return whether a row was written before the trial was stopped."""
        return self.earlier.get((type(event), event.step)) == line_of(event)

    def differs(self, event: Event) -> bool:
        """Return whether another row was written of this step before the trial was stopped."""
        return (type(event), event.step) in self.earlier and not self.repeats(event)

    def add(self, event: Event) -> None:
        """Append a row to events.jsonl, and log it where the dashboard has none of its kind and
        step."""
        self.store.append_event(self.plan.number, event)
        if (type(event), event.step) not in self.shown:
            self.run.log(event.step, event.metrics)
        if isinstance(event, EvalPoint):
            self.evals.append(event)

    def forget_from(self, event: Event) -> None:
        """Delete the rows of earlier processes from `event` on: the training takes another course
        since then, as it may with other versions of packages."""
        keys = list(self.earlier)
        kept = set(keys[: keys.index((type(event), event.step))])
        rows = self.store.events(self.plan.number)
        self.store.replace_events(self.plan.number, [row for row in rows if (type(row), row.step) in kept])
        self.earlier = {key: line for key, line in self.earlier.items() if key in kept}
        self.evals = [point for point in self.evals if (EvalPoint, point.step) in kept]
        self.reported = 0
