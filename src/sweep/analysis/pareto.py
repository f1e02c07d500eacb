"""The trials of a study of two objectives, and those among them that no other one dominates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from sweep.analysis.comparison.pareto import front
from sweep.analysis.facts import Facts
from sweep.config.schema import Scalar
from sweep.records.trial import ranked


@dataclass(frozen=True, slots=True)
class Member:
    """A completed trial with its values of both objectives. `kept`: no other completed trial is as
    good in both and better in one. The other fields are as in `analysis.trials.Trial`."""

    number: int
    mark: str
    leads: bool
    kept: bool
    first: float
    second: float
    params: Mapping[str, Scalar]
    used: Mapping[str, Scalar]


@dataclass(frozen=True, slots=True)
class ParetoSet:
    """`trials` are those of the Pareto set, best first in the first objective, then the others.
    The winner is the best in the second objective among those at most `within` worse than the best
    in the first one."""

    first: str
    second: str
    first_direction: str
    second_direction: str
    within: float
    trials: tuple[Member, ...]

    @property
    def kept(self) -> tuple[Member, ...]:
        """Return the Pareto set."""
        return tuple(one for one in self.trials if one.kept)

    @property
    def lead(self) -> Member | None:
        """Return the winner, or the trial that leads so far."""
        return next((one for one in self.trials if one.leads), None)


def pareto(facts: Facts) -> ParetoSet | None:
    """Return the trials with two objectives; None for one objective, and before a trial has
    completed."""
    objective, second = facts.study.objective, facts.study.second
    if second is None:
        return None
    records = [one for one in ranked(facts.trials, objective) if not math.isnan(one.value(second))]
    if not records:
        return None
    losses = [(objective.loss_of(one.value(objective)), second.loss_of(one.value(second))) for one in records]
    kept = front([(-first, cost) for first, cost in losses])
    members = [
        Member(
            number=one.number,
            mark=facts.mark(one),
            leads=one is facts.winner,
            kept=inside,
            first=one.value(objective),
            second=one.value(second),
            params=one.params,
            used=one.used,
        )
        for one, inside in zip(records, kept, strict=True)
    ]
    directions = facts.study.directions
    return ParetoSet(
        first=objective.metric,
        second=second.metric,
        first_direction=directions[0],
        second_direction=directions[1],
        within=objective.within,
        trials=tuple(sorted(members, key=lambda one: (not one.kept, objective.loss_of(one.first)))),
    )
