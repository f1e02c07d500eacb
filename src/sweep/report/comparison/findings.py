"""The key points in words, each computed from the records."""

from __future__ import annotations

from collections.abc import Iterator

from sweep.analysis.facts import read_tested
from sweep.report.comparison.comparison import ALPHA, Comparison, Pair
from sweep.report.comparison.contestants import Contestant
from sweep.report.comparison.costs import COSTS, fronts
from sweep.report.comparison.paired import p_value
from sweep.report.markdown import bullets, code, escape
from sweep.report.units import count, plural, score, seconds, share, signed
from sweep.report.wording import made

_NAMED = 4  # pairs named in a sentence; the table has all


def findings(comparison: Comparison) -> str:
    lines = [
        _best(comparison), _significant(comparison), _price(comparison), *_pareto(comparison), _orders(comparison),
        *_references(comparison), *_caveats(comparison),
    ]  # fmt: skip
    return bullets(line for line in lines if line)


def _best(comparison: Comparison) -> str:
    first, second = comparison.ranked[:2]
    top, next_best, metric = comparison.score(first), comparison.score(second), f"test/{comparison.main}"
    if top == next_best:
        *some, last = [f"**{escape(one.name)}**" for one in comparison.ranked if comparison.score(one) == top]
        return f"{', '.join(some)} and {last} share the best {metric}, {score(top)}."
    pair = comparison.pair(first.name, second.name)
    gap, p = pair.differences[0], comparison.p(pair)
    turned = gap.interval if pair.first == first.name else (-gap.interval[1], -gap.interval[0])
    test = "McNemar" if comparison.main == comparison.proportion else "bootstrap"
    verdict = "significant" if p < ALPHA else "not significant"
    return (
        f"**{escape(first.name)}** has the best {metric}, {score(top)}: {signed(top - next_best)} over "
        f"**{escape(second.name)}** ({score(next_best)}), 95 % interval {signed(turned[0])} to {signed(turned[1])}; "
        f"{verdict} (p {p_value(p)}, {test}, corrected after Holm)."
    )


def _significant(comparison: Comparison) -> str:
    told = [pair for pair in comparison.pairs if comparison.p(pair) < ALPHA]
    rest = [pair for pair in comparison.pairs if comparison.p(pair) >= ALPHA]
    pairs = plural(len(comparison.pairs), "pair")
    whole = f"{len(told)} of {pairs} of methods differ significantly in {comparison.main}"
    if 0 < len(told) <= _NAMED:
        return f"{whole}: {'; '.join(map(_order, told))}."
    if told and 0 < len(rest) <= _NAMED:
        return f"{whole}: all but {'; '.join(f'{escape(pair.first)} and {escape(pair.second)}' for pair in rest)}."
    return f"{whole}."


def _order(pair: Pair) -> str:
    way = "above" if pair.differences[0].value > 0 else "below"
    return f"{escape(pair.first)} {way} {escape(pair.second)}"


def _price(comparison: Comparison) -> str:
    best = comparison.ranked[0]
    held = best.final.parameters
    trained = f"{escape(best.name)} trains {count(held.trainable)} parameters ({share(held.trainable, held.total)})"
    times = f"in {seconds(best.final.cost.train_seconds)}"
    beside = [_against(comparison, best, cost) for cost in COSTS]
    return f"{trained} {times}: {'; '.join(beside)}."


def _against(comparison: Comparison, best: Contestant, cost: str) -> str:
    of = COSTS[cost]
    least = min(comparison.contestants, key=of)
    if of(least) == of(best):
        return f"the fewest {cost}"
    if not of(least):
        return f"{escape(least.name)} needs no {cost}"
    return f"{of(best) / of(least):,.3g} times the {cost} of {escape(least.name)}"


def _pareto(comparison: Comparison) -> Iterator[str]:
    for cost, names in fronts(comparison).items():
        inside = [escape(one.name) for one in comparison.ranked if one.name in names]
        outside = [escape(one.name) for one in comparison.ranked if one.name not in names]
        beaten = f"; matched or beaten for less: {', '.join(outside)}" if outside else ""
        yield f"In the Pareto set of test/{comparison.main} against {cost}: {', '.join(inside)}{beaten}."


def _orders(comparison: Comparison) -> str:
    key, found = f"eval/{comparison.main}", comparison.by_validation[0]
    if found.name == comparison.ranked[0].name:
        return f"Validation puts the same method first ({key} {score(found.validation.get(key))})."
    return (
        f"Validation would have put {escape(found.name)} first ({key} {score(found.validation.get(key))}), which has "
        f"test/{comparison.main} {score(comparison.score(found))}."
    )


def _references(comparison: Comparison) -> Iterator[str]:
    key = f"test/{comparison.main}"
    first = comparison.contestants[0]
    tested = read_tested(comparison.task, first.final, first.predictions)
    best = tested.best_guess(comparison.main)
    if best is not None:
        rule = tested.guesses[best].metrics[comparison.main]
        below = [one for one in comparison.ranked if comparison.interval(one, comparison.main)[0] <= rule]
        named = f"the interval of {', '.join(escape(one.name) for one in below)} does not lie above it" if below else ""
        yield f"The {best} reaches {key} {score(rule)}; {named or 'every interval lies above it'}."
    for one in comparison.contestants:
        before = one.final.before.get(key)
        if before is not None:
            gain = signed(comparison.score(one) - before)
            yield f"Fine-tuning took {escape(one.name)} from {key} {score(before)} to {score(comparison.score(one))} ({gain})."


def _caveats(comparison: Comparison) -> Iterator[str]:
    found = comparison.contestants
    trials = {one.name: len(one.trials) for one in found}
    if len(set(trials.values())) > 1:
        shown = ", ".join(f"{escape(name)} {number}" for name, number in trials.items())
        yield f"The methods were not searched equally, which favours those with more trials: {shown}."
    bases = {one.name: f"{code(one.base)}{made(one.config.model)}" for one in found}
    if len(set(bases.values())) > 1:
        shown = "; ".join(f"{escape(name)} {base}" for name, base in bases.items())
        yield f"The base models differ, so that scores compare base and method together: {shown}."
    refitted = [escape(one.name) for one in found if one.final.refit]
    if 0 < len(refitted) < len(found):
        yield f"Only {', '.join(refitted)} learnt from validation rows too before the test (study.refit), which favours it."
    again = [escape(one.name) for one in found if one.final.test_readings > 1]
    if again:
        yield f"The test split was read more than once for {', '.join(again)}."
