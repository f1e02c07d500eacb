"""The fair sharing of trials among workers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal


def most_at_once(learns_from: int | None, slots: int | Literal["auto"]) -> int | None:
    """Return the most trials that run at once on all workers together: those that the sampler
    learns well from, or the number of slots that the user set, where that is more. None is no
    limit."""
    return learns_from if learns_from is None or slots == "auto" else max(learns_from, slots)


@dataclass(eq=False, slots=True)
class Load:
    """The trials that a worker holds.

    It is hungry if it may ask for another one: from its start, and from the end of a trial, until
    its engine takes a step with those that it holds.
    """

    held: int = 0
    hungry: bool = True
    refused: bool = False  # its last request

    def given(self) -> None:
        self.held, self.hungry, self.refused = self.held + 1, True, False

    def ended(self) -> None:
        self.held, self.hungry = self.held - 1, True

    def stepped(self) -> None:
        """Note an optimizer step: the engine has filled the slots that it can fill."""
        self.hungry = self.refused


def may_have(load: Load, loads: Collection[Load], *, coming: int, points: int | None, limit: int | None) -> bool:
    """Return whether a worker that asks is given a trial now.

    No more than `limit` trials run at once on all workers together. Beyond its share of the
    `points` that are left and run, a worker waits for hungry ones that hold less; `coming` workers
    are about to ask for their first trial.
    """
    if limit is not None and sum(each.held for each in loads) >= limit:
        return False
    if load.held == 0:
        return True
    points = points if limit is None or points is None else min(points, limit)
    share = 1 if points is None else -(-points // (len(loads) + coming))
    if load.held < share:
        return True
    return not coming and not any(each.hungry and each.held < load.held for each in loads if each is not load)
