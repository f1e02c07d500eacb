"""The fair sharing of trials among workers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(eq=False, slots=True)
class Load:
    """The trials that a worker holds.

    Its engine may have a free slot from its start, and from the end of a trial, until it takes a
    step with the trials that it holds.
    """

    held: int = 0
    has_free_slot: bool = True
    refused: bool = False  # its last request

    def given(self) -> None:
        self.held, self.has_free_slot, self.refused = self.held + 1, True, False

    def ended(self) -> None:
        self.held, self.has_free_slot = self.held - 1, True

    def stepped(self) -> None:
        """Note an optimizer step: the engine has filled the slots that it can fill."""
        self.has_free_slot = self.refused


def may_have(load: Load, loads: Collection[Load], *, coming: int, points: int | None, at_once: int | None) -> bool:
    """Return whether a worker that asks may be given a trial now, if the study has one.

    Beyond its share of the `points` that are left and run, a worker waits for those with a free
    slot that hold less. The study lets no more than `at_once` of them run at once on all workers
    together; None is no limit. `coming` workers are about to ask for their first trial.
    """
    if load.held == 0:
        return True
    points = points if at_once is None or points is None else min(points, at_once)
    share = 1 if points is None else -(-points // (len(loads) + coming))
    if load.held < share:
        return True
    return not coming and not any(each.has_free_slot and each.held < load.held for each in loads if each is not load)
