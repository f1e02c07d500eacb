"""The trials of the study, as the packed engine pulls and ends them."""

from __future__ import annotations

from dataclasses import dataclass

from sweep.engine.packed.slot import Slot
from sweep.engine.protocol import NextTrial, OnTrialEnd
from sweep.records.trial import Outcome, TrialPlan


@dataclass(slots=True)
class TrialQueue:
    """Remembers that the study had no further trial: it is asked again only when a trial has
    ended."""

    next_trial: NextTrial
    on_end: OnTrialEnd
    exhausted: bool = False

    def pull(self) -> TrialPlan | None:
        """Return the next trial, None where there is none at present."""
        if self.exhausted:
            return None
        trial = self.next_trial()
        self.exhausted = trial is None
        return trial

    def end(self, trial: TrialPlan, outcome: Outcome) -> None:
        self.exhausted = False
        self.on_end(trial, outcome)

    def close(self, slot: Slot) -> None:
        """End the trial of a slot, and free the slot."""
        outcome = slot.outcome()
        slot.close()
        self.end(slot.plan, outcome)
