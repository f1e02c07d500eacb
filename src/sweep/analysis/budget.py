"""The budget of a study: what its search has used up, and what is left."""

from __future__ import annotations

from dataclasses import dataclass

from sweep.analysis.facts import Facts
from sweep.records.spent import Spent, limited


@dataclass(frozen=True, slots=True)
class Amount:
    """A limit in `study.budget`, by its key: in hours of devices, wall-clock seconds or trials."""

    key: str
    spent: float
    limit: float
    left: float


def budget(facts: Facts) -> tuple[Amount, ...]:
    """Return the limits that are set; empty where the study has no budget."""
    limits = limited(facts.study.budget, facts.used_up or Spent())
    return tuple(Amount(one.key, one.spent, one.limit, one.left) for one in limits)
