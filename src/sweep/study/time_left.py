"""An estimate of the time until a study ends: its search, and the trainings after it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sweep.config.schema import StudyConfig

_ENOUGH = 0.1  # trials that must be done before the remaining time is estimated


@dataclass(slots=True)
class Training:
    """A training that runs. `search` is false for one after the search: a fresh seed, the
    retraining, the refit."""

    steps: int
    total: int
    search: bool

    @property
    def share(self) -> float:
        """Return the share of its steps that are done."""
        return self.steps / max(self.total, 1)


@dataclass(slots=True)
class TimeLeft:
    """Counts what this process trains from its first training on. `groups` is the number of
    values that `study.compare_by` compares, 1 without it. `part` is the share of all trials'
    training that a pruner which pauses them allows at most, 1 where none is paused. `refits` says
    that a retraining is followed by one on all rows."""

    study: StudyConfig
    groups: int = 1
    part: float = 1.0
    refits: bool = False
    began: float | None = None
    search_took: float = 0.0  # seconds until its last trial ended
    done_before: int = 0  # trials that had ended when the first training began
    steps: int = 0
    later: int = 0  # trainings after the search that have ended
    longest: int = 0  # steps of the longest training
    running: dict[str, Training] = field(default_factory=dict)
    head_starts: dict[str, float] = field(default_factory=dict)  # shares that trials had when they were taken up
    aside: dict[str, float] = field(default_factory=dict)  # shares of the trials that are paused
    limit: Callable[[], float | None] = lambda: None  # the seconds that limits leave to the search
    most: int | None = None  # trials that a budget allows in all

    def begin(self, title: str, training: Training, done: int) -> None:
        """Count a training that begins or goes on, when `done` trials have ended."""
        if self.began is None:
            self.began, self.done_before = time.monotonic(), done
        self.running[title] = training
        self.aside.pop(title, None)
        if training.search:
            self.head_starts.setdefault(title, training.share)
        self.longest = max(self.longest, training.total)

    def step(self, title: str, step: int) -> None:
        """Count the steps of a training up to `step`."""
        training = self.running[title]
        self.steps += max(step - training.steps, 0)
        training.steps = max(step, training.steps)

    def put_aside(self, title: str, share: float) -> None:
        """Count a trial that is paused, in this process or before, with this share of its steps
        done. Call it before `over`, if the trial runs."""
        self.aside[title] = share
        self.head_starts.setdefault(title, share)

    def over(self, title: str) -> None:
        """Count the end of a training, or the end of a paused trial."""
        if (training := self.running.pop(title, None)) is None:
            self.aside.pop(title, None)
            return
        if training.search:
            self.search_took = self._elapsed()
        else:
            self.later += 1

    def seconds(self, done: int, wanted: int) -> float | None:
        """Return the seconds until the study ends, where `done` of the `wanted` trials have ended;
        None if too little was trained to know.

        A trial to come takes the mean time of the trials so far: later ones will be pruned too. A
        paused trial counts with its share, and `part` says how much all of them train. No limit
        allows the search more than it leaves. A training after the search takes its steps at the
        mean speed.
        """
        under_way = self._shares(search=True) + sum(self.aside.values())
        far = done - self.done_before + under_way - sum(self.head_starts.values())
        if self.began is None or (far < _ENOUGH and not self.later):
            return None
        wanted_part = self.part * wanted if self.most is None else min(self.part * wanted, self.most)
        return self._search(far, wanted_part - done - under_way) + self._after()

    def _search(self, far: float, to_do: float) -> float:
        searching = to_do > 0 and any(one.search for one in self.running.values())
        took = self._elapsed() if searching else self.search_took
        left = took / far * to_do if to_do > 0 and far > 0 else 0.0
        limit = self.limit()
        return left if limit is None else min(left, limit)

    def _after(self) -> float:
        """Return the seconds of the trainings after the search."""
        study = self.study
        seeds = study.confirm_top * study.confirm_seeds if study.confirm_seeds > 1 else 0
        to_do = self.groups * (seeds + 1 + self.refits) - self.later - self._shares(search=False)
        each = self._elapsed() / self.steps * self.longest if self.steps else 0.0
        return max(to_do, 0.0) * each

    def _shares(self, *, search: bool) -> float:
        shares: Iterable[float] = (one.share for one in self.running.values() if one.search is search)
        return sum(shares)

    def _elapsed(self) -> float:
        return 0.0 if self.began is None else time.monotonic() - self.began
