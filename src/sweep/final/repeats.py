"""How much of a score was luck: the best few configurations trained again with fresh seeds, before one is chosen.

The best of many trials looks better on validation than it is, since it is the best of their noise too (Cawley & Talbot
2010, "On over-fitting in model selection", JMLR 11). Training again with seeds that had no part in the search shows by
how much. The rows stay the same, so what it shows is the luck of initialisation, data order and dropout alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from sweep.config.objective import Objective
from sweep.final.retrain import retrained, watched
from sweep.provenance import Fingerprint
from sweep.records import (
    Candidate,
    Completed,
    Confirmation,
    Failed,
    Outcome,
    Repeat,
    TrialPlan,
    TrialRecord,
    total,
)
from sweep.study.session import Session
from sweep.track.tracker import Ending, JobType

LEVEL = 0.95
SEED_KEY = "trainer.seed"


def confirmed(session: Session, ranked: Sequence[TrialRecord]) -> Confirmation | None:
    """Spend `study.confirm_seeds` fresh seeds on each of the `study.confirm_top` best trials. None where that is one
    seed, which is the winner's own. What was trained by an earlier run is not trained again.

    Raises Interrupted after Ctrl-C, with every repetition that ended kept.
    """
    study = session.plan.config.study
    if study.confirm_seeds == 1:
        return None
    repeats = {record.number: _repeats(session, record) for record in ranked[: study.confirm_top]}
    objective = study.objective
    found = [_candidate(record, repeats[record.number], objective) for record in ranked[: study.confirm_top]]
    candidates = tuple(sorted(found, key=lambda one: _standing(one, objective)))
    first = next(one for one in candidates if one.number == ranked[0].number)
    return Confirmation(
        candidates=candidates,
        optimism=None if first.mean is None else objective.gain(first.trial_score, first.mean),
        cost=total([repeat.cost for group in repeats.values() for repeat in group]),
    )


def fresh_seed(study_seed: int, number: int, index: int, taken: int) -> int:
    """Of the `index`-th repetition of a trial; never the seed that the trial had (`taken`)."""
    digest = Fingerprint().add("confirm").add(str(study_seed)).add(str(number)).add(str(index))
    drawn = int(digest.hex()[:8], 16)
    return drawn if drawn != taken else (drawn + 1) % 2**32


def _repeats(session: Session, record: TrialRecord) -> list[Repeat]:
    study, found = session.plan.config.study, []
    for index in range(1, study.confirm_seeds + 1):
        own = session.plan.trial(record.number, record.params)
        seed = fresh_seed(study.seed, record.number, index, own.config.trainer.seed)
        known = session.store.repeat(record.number, index)
        if known is None or known.seed != seed:
            title = f"trial {record.number} again, fresh seed {index} of {study.confirm_seeds}"
            plan = session.plan.trial(record.number, {**record.params, SEED_KEY: seed})
            known = _repeat(session, plan, title)
            session.store.write_repeat(known, index)
        found.append(known)
    return found


def _repeat(session: Session, plan: TrialPlan, title: str) -> Repeat:
    with watched(session, plan, JobType.CONFIRM, title) as watch, retrained(session, plan, watch) as result:
        made = replace(_made(plan, result.outcome), tracker_run=watch.run.address)
        best = made.best.metrics if made.best else {}
        summary = {"optuna/number": plan.number, **{f"best/{name}": value for name, value in best.items()}}
        state = "completed" if made.best else made.failure.partition(":")[0]
        watch.run.finish(Ending(state, summary=summary))
        session.view.ended(f"trial {plan.number}, seed {made.seed}", state, _shown(session, made))
    return made


def _made(plan: TrialPlan, outcome: Outcome) -> Repeat:
    match outcome:
        case Completed(best=best):
            return Repeat(plan.number, plan.config.trainer.seed, best, outcome.cost)
        case Failed(reason=reason, message=message):
            return Repeat(plan.number, plan.config.trainer.seed, None, outcome.cost, failure=f"{reason}: {message}")
        case _:
            raise AssertionError("nothing prunes a repetition")


def _shown(session: Session, made: Repeat) -> str:
    objective = session.plan.config.study.objective
    return f"{objective.metric} {objective.of(made.best.metrics):.4f}" if made.best else made.failure


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


def interval(scores: Sequence[float]) -> tuple[float, float] | None:
    """95 % of the mean, by Student's t; None for fewer than two scores."""
    if len(scores) < 2:
        return None
    mean, error = float(np.mean(scores)), float(stats.sem(scores))
    reach = float(stats.t.ppf((1 + LEVEL) / 2, len(scores) - 1)) * error
    return mean - reach, mean + reach


def _standing(one: Candidate, objective: Objective) -> tuple[bool, float]:
    """For sorting, best first; equals stay in the order of the search."""
    worst = math.inf if one.mean is None else -objective.gain(one.mean, 0.0)
    return one.failed > 0, worst
