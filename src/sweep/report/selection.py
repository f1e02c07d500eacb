"""How the winner was chosen among the best trials, where each was trained again with fresh seeds."""

from __future__ import annotations

from sweep.records.final import Candidate, Confirmation, FinalRecord
from sweep.records.trial import ranked
from sweep.report.facts import Facts
from sweep.report.markdown import bullets, code, escape, join, table
from sweep.report.units import MISSING, plural, score, value


def selection(facts: Facts) -> str:
    """Empty where the best trial of the search was taken as it was."""
    final = facts.final
    if final is None or final.confirmation is None or not final.confirmation.candidates:
        return ""
    held = final.confirmation
    seeds = max((len(candidate.scores) + candidate.failed for candidate in held.candidates), default=0)
    number = len(held.candidates)
    best, verb = ("best trial", "was") if number == 1 else (f"{number} best trials", "were each")
    intro = (
        f"The best of many scores is partly luck. So the {best} of {_searched(facts, final)} "
        f"{verb} trained again with {plural(seeds, 'fresh seed')}, and the best mean of {facts.metric} on validation "
        f"won. Intervals are of that mean, by Student's t.{_methods(facts)}"
    )
    said = [chosen(facts, final), _failures(held), _optimism(facts, final, held), _apart(held)]
    return join(["## How the winner was chosen", intro, _table(held, seeds), bullets(line for line in said if line)])


def chosen(facts: Facts, final: FinalRecord) -> str:
    """Which trial won over fresh seeds, and whether it was the search's best. Empty without fresh seeds."""
    held = final.confirmation
    if held is None or not held.candidates:
        return ""
    first = held.candidates[0]
    over = f"over {plural(len(first.scores), 'fresh seed')}"
    top, searched = _searched_best(facts, held), _searched(facts, final)
    if first.mean is None:
        return f"No fresh seed gave a score, so trial {first.number}, the best of {searched}, won by its score there."
    if top.number == first.number:
        return f"Trial {first.number}, the best of {searched}, kept its place: its mean {over} is {score(first.mean)}."
    before = f"Trial {top.number} scored best in {searched} ({score(top.trial_score)}), but"
    if top.failed and not first.failed:
        lost = f"{top.failed} of its {plural(top.failed + len(top.scores), 'fresh seed')} failed"
        return f"{before} {lost}. So trial {first.number} won, with a mean {over} of {score(first.mean)}."
    return (
        f"{before} trial {first.number} has the better mean {over}: {score(first.mean)} against {score(top.mean)}. "
        f"So trial {first.number} won."
    )


def _table(held: Confirmation, seeds: int) -> str:
    columns = ["trial", "in the search", *(f"seed {number}" for number in range(1, seeds + 1)), "mean", "95 % interval"]
    rows = []
    for place, candidate in enumerate(held.candidates):
        scores = [score(one) for one in candidate.scores]
        scores += ["failed"] * candidate.failed
        name = str(candidate.number) if place else f"{candidate.number} (winner)"
        cells = [name, score(candidate.trial_score), *scores, score(candidate.mean), _interval(candidate)]
        rows.append([cell if place or cell == MISSING else f"**{cell}**" for cell in cells])
    return table(columns, rows)


def _interval(candidate: Candidate) -> str:
    if candidate.interval is None:
        return MISSING
    low, high = candidate.interval
    return f"{score(low)} to {score(high)}"


def _failures(held: Confirmation) -> str:
    failed = [f"{plural(one.failed, 'seed')} of trial {one.number}" for one in held.candidates if one.failed]
    return f"{', '.join(failed)} failed: such a trial stands behind any whose seeds all ended well." if failed else ""


def _optimism(facts: Facts, final: FinalRecord, held: Confirmation) -> str:
    top, searched = _searched_best(facts, held), _searched(facts, final)
    if held.optimism is None:
        return f"No fresh seed of trial {top.number}, the best of {searched}, gave a score to hold its own against."
    if held.optimism == 0:
        return f"The best score of {searched} was what trial {top.number} does on average with fresh seeds."
    how = "better" if held.optimism > 0 else "worse"
    luck = ", which is what choosing the best of the search owed to luck" if held.optimism > 0 else ""
    return (
        f"The best score of {searched}, {score(top.trial_score)} in {facts.metric} (trial {top.number}), was "
        f"{score(abs(held.optimism))} {how} than that trial's mean over fresh seeds, {score(top.mean)}{luck}."
    )


def _apart(held: Confirmation) -> str:
    """Whether the winner's mean lies clear of the next one's, where it was the mean that decided."""
    if len(held.candidates) < 2:
        return ""
    first, second = held.candidates[:2]
    if first.mean is None or second.mean is None or (second.failed and not first.failed):
        return ""
    gap = score(abs(first.mean - second.mean))
    if first.mean == second.mean:
        return f"The means of trial {first.number} and trial {second.number} are equal."
    if first.interval is None or second.interval is None:
        return f"The winner's mean is {gap} better than that of trial {second.number}."
    overlap = first.interval[0] <= second.interval[1] and second.interval[0] <= first.interval[1]
    verdict = "overlap, so the two may well be equally good" if overlap else "do not overlap"
    return f"The winner's mean is {gap} better than that of trial {second.number}; their intervals {verdict}."


def _searched(facts: Facts, final: FinalRecord) -> str:
    """What the candidates were the best of: in a group run each method has its own."""
    key = facts.study.compare_by
    return "the search" if key is None else f"the search with {code(key)} {escape(value(final.params[key]))}"


def _methods(facts: Facts) -> str:
    key = facts.study.compare_by
    return "" if key is None else f" So it went for each {code(key)}, and the best of their means is the winner's."


def _searched_best(facts: Facts, held: Confirmation) -> Candidate:
    """The candidate that the search alone would have chosen."""
    order = {record.number: place for place, record in enumerate(ranked(facts.trials, facts.study.objective))}
    by_rank = sorted(held.candidates, key=lambda candidate: order.get(candidate.number, len(order)))
    return (max if facts.maximize else min)(by_rank, key=lambda candidate: candidate.trial_score)
