"""The ranking of the best configurations by their mean scores over fresh seeds.

The validation score of the best of many trials is too good, since its noise was selected too
(Cawley & Talbot 2010, "On over-fitting in model selection", JMLR 11). Training again with seeds
that had no part in the search shows by how much. The rows stay the same, so that it shows the
effect of initialisation, data order and dropout alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from sweep.config.objective import Objective
from sweep.final.repeats import repeated
from sweep.records.cost import total
from sweep.records.final import Candidate, Confirmation, Repeat
from sweep.records.trial import TrialRecord
from sweep.study.session import Session

LEVEL = 0.95


def confirmed(session: Session, ranked: Sequence[TrialRecord]) -> Confirmation | None:
    """Train each of the `study.confirm_top` best trials with `study.confirm_seeds` fresh seeds,
    and return the ranking.

    None for `study.confirm_seeds=1`. Raises as `repeated` does.
    """
    study = session.plan.config.study
    if study.confirm_seeds == 1:
        return None
    top = ranked[: study.confirm_top]
    found = compared(top, repeated(session, top), study.objective)
    session.view.say(_ranking_line(found, top[0].number, study.objective))
    return found


def compared(ranked: Sequence[TrialRecord], repeats: dict[int, list[Repeat]], objective: Objective) -> Confirmation:
    """Return the ranking of completed trials (`ranked`, best first) by their `repeats`, which are
    given by trial number."""
    found = [_candidate(record, repeats[record.number], objective) for record in ranked]
    first = found[0]
    records = {record.number: record for record in ranked}
    return Confirmation(
        candidates=_in_order(found, records, objective),
        optimism=None if first.mean is None else objective.gain(first.trial_score, first.mean),
        cost=total([repeat.cost for group in repeats.values() for repeat in group]),
    )


def interval(scores: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % interval of the mean by Student's t; None for fewer than two scores."""
    if len(scores) < 2:
        return None
    mean, error = float(np.mean(scores)), float(stats.sem(scores))
    reach = float(stats.t.ppf((1 + LEVEL) / 2, len(scores) - 1)) * error
    return mean - reach, mean + reach


def _candidate(record: TrialRecord, repeats: Sequence[Repeat], objective: Objective) -> Candidate:
    assert record.best is not None, "only completed trials are ranked"
    scores = tuple(objective.of(repeat.best.metrics) for repeat in repeats if repeat.best)
    return Candidate(
        number=record.number,
        params=record.params,
        trial_score=objective.of(record.best.metrics),
        scores=scores,
        mean=math.fsum(scores) / len(scores) if scores else None,
        interval=interval(scores),
        failed=len(repeats) - len(scores),
    )


def _in_order(
    found: Sequence[Candidate], records: Mapping[int, TrialRecord], objective: Objective
) -> tuple[Candidate, ...]:
    """Return the candidates, best first. With a second objective those that no seed failed are
    ordered by their means in the first one and their trials' values of the second one."""
    order = sorted(found, key=lambda one: _sort_key(one, objective))
    second = objective.second
    if second is None:
        return tuple(order)
    whole = [one for one in order if not one.failed and one.mean is not None]
    first = objective.chosen_first(
        whole,
        lambda one: math.nan if one.mean is None else one.mean,
        lambda one: records[one.number].value(second),
    )
    return (*first, *(one for one in order if one not in whole))


def _ranking_line(found: Confirmation, searched: int, objective: Objective) -> str:
    """Return a line on the ranking. `searched` is the number of the search's best trial."""
    first = found.candidates[0]
    if first.mean is None:
        return "fresh seeds: every one of them failed; the search's best stays the best"
    line = f"fresh seeds: trial {first.number} leads with a mean {objective.metric} of {first.mean:.4f}"
    best = next(one for one in found.candidates if one.number == searched)
    if best is first:
        return f"{line}; the search had it at {best.trial_score:.4f}"
    mean = "none" if best.mean is None else f"{best.mean:.4f}"
    return f"{line}; trial {searched}, the best of the search at {best.trial_score:.4f}, has a mean of {mean}"


def _sort_key(one: Candidate, objective: Objective) -> tuple[bool, float]:
    """Return a sort key, best first; equal candidates stay in the order of the search."""
    worst = math.inf if one.mean is None else -objective.gain(one.mean, 0.0)
    return one.failed > 0, worst
