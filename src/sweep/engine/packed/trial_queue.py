"""The trials of the study, as the packed engine pulls and ends them."""

from __future__ import annotations

from dataclasses import dataclass

from sweep.engine.packed.slot import Slot
from sweep.engine.protocol import NextTrial, OnTrialEnd


@dataclass(slots=True)
class TrialQueue:
    """`pull` returns the next trial, None where there is none at present: there may be one later,
    which another worker lost or left."""

    pull: NextTrial
    end: OnTrialEnd

    def close(self, slot: Slot) -> None:
        """End the trial of a slot, and free the slot."""
        outcome = slot.outcome()
        slot.close()
        self.end(slot.plan, outcome)
