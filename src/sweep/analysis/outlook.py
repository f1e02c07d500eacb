"""The gain that more trials would bring, and what `study.stop` saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sweep.analysis.facts import Facts
from sweep.config.schema import Scalar
from sweep.records.cost import Cost, total
from sweep.records.counted import counting
from sweep.records.trial import TrialRecord
from sweep.search import stopping
from sweep.search.gain import LEAST_SCORES, LEAST_TRIALS
from sweep.search.racing_budget import racing_budget

Pays = Literal["likely", "possible", "unlikely", "unknown"]

# Of the best score: what a gain is worth comparing with where the standard error is not known.
_SHARE = 0.01
_LIKELY, _UNLIKELY = 0.5, 0.1  # chances of a gain above what is worth it


@dataclass(frozen=True, slots=True)
class MoreTrials:
    """The gain that `more` trials would bring, of the whole search or of those in which the key
    `compared` (`study.compare_by`) has the value `choice`. `planned` says that they are the trials
    still to run; else they are as many as have ended.

    `expected` is the mean, and with a probability of 95 % the gain is below `limit`. `chance`
    is the probability of more than `worth`: the standard error of the best score, or where
    that is not `measured` a hundredth of the score; `pays` puts it in a word. All of them are
    None where the gain is not known: from fewer than `least_ended` trials, or fewer than
    `least_completed` with a score, or from best scores that are all equal.
    """

    compared: str | None
    choice: Scalar
    more: int
    planned: bool
    ended: int
    completed: int
    least_ended: int
    least_completed: int
    worth: float | None
    measured: bool
    expected: float | None = None
    limit: float | None = None
    chance: float | None = None
    pays: Pays = "unknown"


@dataclass(frozen=True, slots=True)
class Stopped:
    """A search that a rule of `study.stop` ended, by its key and its value. `trials` were not run:
    at the mean of those that were they would have taken so many `seconds` of a device, and have
    trained so many `rows`. `paused` trials did not go on: they would have taken at most
    `paused_seconds`, and have trained at most `paused_rows`, 0 where that is not known."""

    rule: str
    value: float | str
    trials: int
    paused: int
    seconds: float
    rows: float
    paused_seconds: float = 0.0
    paused_rows: float = 0.0


@dataclass(frozen=True, slots=True)
class Outlook:
    """The outlook of each compared choice, or of the whole search; none where it is `exhausted`: a
    grid has no further point."""

    groups: tuple[MoreTrials, ...]
    exhausted: bool
    stopped: Stopped | None


def outlook(facts: Facts) -> Outlook | None:
    """Return what more trials would bring; None for one training without a search, and where two
    objectives are searched for."""
    if facts.alone or facts.study.second is not None:
        return None
    study, ended, wanted = facts.study, len(counting(facts.trials)), facts.wanted
    planned, exhausted = ended < wanted, ended >= facts.grid_size
    states = _states(facts, wanted if planned else 2 * ended)
    return Outlook(
        groups=() if exhausted else tuple(_more(study.compare_by, state, planned=planned) for state in states),
        exhausted=exhausted,
        stopped=_stopped(facts, states, wanted - ended) if planned else None,
    )


def _states(facts: Facts, wanted: int) -> tuple[stopping.Outlook, ...]:
    key, rows = facts.study.compare_by, facts.lock.data.scored
    choices = facts.lock.space.get(key, {}).get("choices", ()) if key else ()
    scale = stopping.Scale.of(facts.config.dataset, facts.metric, rows)
    return stopping.outlooks(facts.trials, facts.study, choices, scale, wanted=wanted)


def _more(compared: str | None, state: stopping.Outlook, *, planned: bool) -> MoreTrials:
    gain, worth = state.gain, state.error
    if worth is None and state.best is not None:
        worth = abs(state.best) * _SHARE
    found = MoreTrials(
        compared=compared, choice=state.choice, more=state.more, planned=planned, ended=state.ended,
        completed=state.completed, least_ended=LEAST_TRIALS, least_completed=LEAST_SCORES, worth=worth,
        measured=state.error is not None,
    )  # fmt: skip
    if gain is None or worth is None:
        return found
    chance = gain.chance(worth)
    pays: Pays = "likely" if chance >= _LIKELY else "possible" if chance >= _UNLIKELY else "unlikely"
    return replace(found, expected=gain.expected, limit=gain.limit, chance=chance, pays=pays)


def _stopped(facts: Facts, states: tuple[stopping.Outlook, ...], left: int) -> Stopped | None:
    """Return how a rule ended the search, which lacks `left` trials; None where none did, or where
    trials run or are put away: after them the rule may no longer hold."""
    rule = stopping.held_rule(facts.study, states)
    if not rule or facts.unfinished or facts.put_away:
        return None
    paused = len(facts.paused)
    left = max(left - paused, 0)
    begun = [*counting(facts.trials), *facts.paused_records]
    spent = total([trial.outcome.cost for trial in begun])
    seconds, rows = (amount / len(begun) * left for amount in (spent.seconds, spent.samples))
    part = _steps_left(facts, begun, spent) / max(spent.steps, 1)
    return Stopped(
        rule, getattr(facts.study.stop, rule), left, paused, seconds, rows,
        paused_seconds=part * spent.seconds, paused_rows=part * spent.samples,
    )  # fmt: skip


def _steps_left(facts: Facts, begun: Sequence[TrialRecord], spent: Cost) -> float:
    """Return the most steps that the paused trials would have trained: racing trains a part of the
    steps of all trials, and another pruner may train all of them."""
    folds = facts.config.dataset.folds
    waiting = sum(trial.planned_steps(folds) - trial.steps_taken(folds) for trial in facts.paused_records)
    if facts.study.pruner != "racing":
        return waiting
    allowed = racing_budget(facts.study) * sum(trial.planned_steps(folds) for trial in begun) - spent.steps
    return max(min(waiting, allowed), 0.0)
