"""The choice of the winner among the best trials, each trained again with fresh seeds."""

from __future__ import annotations

from dataclasses import dataclass

from sweep.analysis.facts import Facts
from sweep.config.schema import Scalar
from sweep.records.final import Candidate, Confirmation
from sweep.records.trial import ranked


@dataclass(frozen=True, slots=True)
class Apart:
    """The winner's mean beside the next one's. `overlap` is None where one of the two has no
    interval."""

    second: int
    gap: float
    equal: bool
    overlap: bool | None


@dataclass(frozen=True, slots=True)
class Selection:
    """`candidates`, best mean first; `searched_best` is the one that the search alone would have
    chosen. `seeds` counts the fresh seeds of a candidate. `optimism` is how much better its score
    in the search was than its mean; None without a mean. In a group run each value of `compare_by`
    has candidates of its own; `value` is the winner's."""

    candidates: tuple[Candidate, ...]
    seeds: int
    searched_best: Candidate
    optimism: float | None
    apart: Apart | None
    compare_by: str | None
    value: Scalar

    @property
    def winner(self) -> Candidate:
        return self.candidates[0]


def selection(facts: Facts) -> Selection | None:
    """Return how the winner was chosen; None where the best trial of the search was taken as it
    was."""
    final = facts.final
    if final is None or final.confirmation is None or not final.confirmation.candidates:
        return None
    held, key = final.confirmation, facts.study.compare_by
    return Selection(
        candidates=held.candidates,
        seeds=max(len(candidate.scores) + candidate.failed for candidate in held.candidates),
        searched_best=_searched_best(facts, held),
        optimism=held.optimism,
        apart=_apart(held),
        compare_by=key,
        value=None if key is None else final.params[key],
    )


def _apart(held: Confirmation) -> Apart | None:
    """Return the distance of the two best means; None where the means did not decide."""
    if len(held.candidates) < 2:
        return None
    first, second = held.candidates[:2]
    if first.mean is None or second.mean is None or (second.failed and not first.failed):
        return None
    overlap = None
    if first.interval is not None and second.interval is not None:
        overlap = first.interval[0] <= second.interval[1] and second.interval[0] <= first.interval[1]
    return Apart(second.number, abs(first.mean - second.mean), first.mean == second.mean, overlap)


def _searched_best(facts: Facts, held: Confirmation) -> Candidate:
    key, chosen = facts.study.compare_by, held.candidates[0].params
    compared = [trial for trial in facts.trials if key is None or trial.params.get(key) == chosen.get(key)]
    order = {record.number: place for place, record in enumerate(ranked(compared, facts.study.objective))}
    by_rank = sorted(held.candidates, key=lambda candidate: order.get(candidate.number, len(order)))
    if facts.study.second:  # whose order is not that of the scores
        return by_rank[0]
    return (max if facts.maximize else min)(by_rank, key=lambda candidate: candidate.trial_score)
