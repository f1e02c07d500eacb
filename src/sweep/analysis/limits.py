"""The limits of a study, and the values by which each trial keeps or breaks them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sweep.analysis.facts import Facts
from sweep.config.limits import LATENCY, PEAKS, excess
from sweep.records.counted import counts
from sweep.records.trial import Failed, FailureReason, TrialRecord


@dataclass(frozen=True, slots=True)
class Limit:
    """An upper limit of `study.limits`, and the number of trials beyond it."""

    name: str
    limit: float
    broken: int


@dataclass(frozen=True, slots=True)
class Limited:
    """A trial: its measured values by the names of limits, and by how much it is beyond each of
    those in `excess`, as shares of the limits. `trained` is false where that was known before:
    counted, or `predicted`."""

    number: int
    state: str
    measured: Mapping[str, float]
    excess: Mapping[str, float]
    trained: bool
    predicted: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Limits:
    """`closest` is the trial with the smallest excess, where no trial has completed. `packed` says
    that a peak of memory is the part of a trial that trained beside others; `latency` that the
    time of single rows is limited."""

    limits: tuple[Limit, ...]
    trials: tuple[Limited, ...]
    infeasible: int
    closest: Limited | None
    packed: bool
    latency: bool


def limits(facts: Facts) -> Limits | None:
    """Return how the trials kept the limits; None without limits."""
    wanted = facts.study.limits
    if not wanted:
        return None
    rows = tuple(_limited(trial, wanted) for trial in facts.trials if counts(trial.outcome))
    beyond = [row for row in rows if row.excess and row.state == FailureReason.INFEASIBLE]
    nearest = min(beyond, key=lambda row: max(row.excess.values()), default=None)
    return Limits(
        limits=tuple(Limit(name, most, sum(name in row.excess for row in rows)) for name, most in wanted.items()),
        trials=rows,
        infeasible=len(beyond),
        closest=None if facts.completed else nearest,
        packed=any(name in PEAKS for name in wanted) and any(t.outcome.cost.engine == "packed" for t in facts.trials),
        latency=LATENCY in wanted,
    )


def _limited(trial: TrialRecord, wanted: Mapping[str, float]) -> Limited:
    found = trial.outcome.excess if isinstance(trial.outcome, Failed) else {}
    over = {name: share for name, share in found.items() if name in wanted and name not in trial.measured}
    return Limited(
        trial.number, trial.state, trial.measured, {**excess(wanted, trial.measured), **over},
        trained=trial.outcome.cost.steps > 0,
        predicted={name: wanted[name] * (1 + share) for name, share in over.items()},
    )  # fmt: skip
