"""The trials of a study that have begun and go on later."""

from __future__ import annotations

from dataclasses import dataclass, field

from sweep.search.promotion import PAUSED_AT
from sweep.study.optuna_study import OptunaStudy
from sweep.study.paused_trials import PausedTrials
from sweep.study.running import Stopped


@dataclass(slots=True)
class UnfinishedTrials:
    """Trials that were put away, which wait until a slot is free, and trials that are `paused`."""

    optuna_study: OptunaStudy
    paused: PausedTrials
    waiting: list[Stopped] = field(default_factory=list)  # by number

    def __len__(self) -> int:
        return len(self.waiting) + len(self.paused)

    def __str__(self) -> str:
        """Return how many of each there are, as an addition to a sentence."""
        counts = ((len(self.waiting), "put away"), (len(self.paused), "paused"))
        return "".join(f"; {count} trial{' is' if count == 1 else 's are'} {state}" for count, state in counts if count)

    def put_away(self, stopped: Stopped) -> None:
        """Take in a trial that goes on as soon as a slot is free."""
        self.waiting = sorted([*self.waiting, stopped], key=lambda one: one.number)

    def take(self, number: int) -> Stopped:
        """Return one of the trials, which goes on."""
        stopped = next((one for one in self.waiting if one.number == number), None)
        if stopped is None:
            return self.paused.take(number)
        self.waiting.remove(stopped)
        if stopped.trial.user_attrs.get(PAUSED_AT):  # the pruner has paused it, and it has no snapshot of that moment
            self.optuna_study.go_on(stopped.trial, promoted=False)
        return stopped
