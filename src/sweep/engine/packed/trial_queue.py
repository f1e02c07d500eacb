"""The trials of the study, as the packed engine pulls and ends them."""

from __future__ import annotations

from dataclasses import dataclass

from sweep.engine.packed.slot import Slot
from sweep.engine.protocol import NextTrial, OnTrialEnd
from sweep.records.trial import Outcome, TrialPlan


@dataclass(slots=True)
class TrialQueue:
    """A study that has no trial at present may have one later: one that another worker lost, or
    that other workers have left."""

    next_trial: NextTrial
    on_end: OnTrialEnd

    def pull(self) -> TrialPlan | None:
        """Return the next trial, None where there is none at present."""
        return self.next_trial()

    def end(self, trial: TrialPlan, outcome: Outcome) -> None:
        self.on_end(trial, outcome)

    def close(self, slot: Slot) -> None:
        """End the trial of a slot, and free the slot."""
        outcome = slot.outcome()
        slot.close()
        self.end(slot.plan, outcome)
