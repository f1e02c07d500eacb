"""The key points of a comparison, each computed from the records."""

from __future__ import annotations

from dataclasses import dataclass

from sweep.analysis.comparison.comparison import ALPHA, Comparison, Pair
from sweep.analysis.comparison.costs import COSTS, fronts
from sweep.analysis.facts import read_resampled_test


@dataclass(frozen=True, slots=True)
class Lead:
    """The best method over the next one in the main metric. `interval` is that of the difference,
    95 %; `p` is corrected."""

    first: str
    second: str
    score: float
    next_score: float
    interval: tuple[float, float]
    p: float

    @property
    def significant(self) -> bool:
        return self.p < ALPHA


@dataclass(frozen=True, slots=True)
class Price:
    """The cost of the best method: `times` the cost of the `cheapest` one; None where that one
    costs nothing, 1 where none is cheaper."""

    cost: str
    cheapest: str
    times: float | None


@dataclass(frozen=True, slots=True)
class Front:
    """The methods in the Pareto set of the main metric against a cost, and the others; best
    first."""

    cost: str
    inside: tuple[str, ...]
    outside: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Guess:
    """The best classifier that does not read the text. `not_above` are the methods whose interval
    does not lie above its score."""

    name: str
    score: float
    not_above: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gain:
    """Test scores of a method before and after fine-tuning."""

    method: str
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Base:
    """The base model of a method."""

    method: str
    name: str
    drawn: bool
    shrunk: bool


@dataclass(frozen=True, slots=True)
class Caveats:
    """The facts that make the methods less comparable; each is empty where the methods agree in
    it."""

    trials: dict[str, int]
    bases: tuple[Base, ...]
    refitted: tuple[str, ...]
    read_again: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Findings:
    """`tied` are the methods that share the best score, and `lead` is None then. `different` and
    `alike` are the pairs whose difference in the main metric is significant, and the others.
    `by_validation` is the method that validation puts first, with its validation score (None where
    it has none) and its test score."""

    tied: tuple[str, ...]
    lead: Lead | None
    best_score: float
    different: tuple[Pair, ...]
    alike: tuple[Pair, ...]
    prices: tuple[Price, ...]
    fronts: tuple[Front, ...]
    by_validation: str
    validation_score: float | None
    validated_score: float
    guess: Guess | None
    gains: tuple[Gain, ...]
    caveats: Caveats


def findings(comparison: Comparison) -> Findings:
    """Return the key points."""
    ranked, top = comparison.ranked, comparison.score(comparison.ranked[0])
    validated = comparison.by_validation[0]
    tied = tuple(one.name for one in ranked if comparison.score(one) == top)
    return Findings(
        tied=tied if len(tied) > 1 else (),
        lead=None if len(tied) > 1 else _lead(comparison),
        best_score=top,
        different=tuple(pair for pair in comparison.pairs if comparison.p(pair) < ALPHA),
        alike=tuple(pair for pair in comparison.pairs if comparison.p(pair) >= ALPHA),
        prices=tuple(_price(comparison, cost) for cost in COSTS),
        fronts=tuple(_front(comparison, cost, names) for cost, names in fronts(comparison).items()),
        by_validation=validated.name,
        validation_score=validated.validation.get(f"eval/{comparison.main}"),
        validated_score=comparison.score(validated),
        guess=_guess(comparison),
        gains=_gains(comparison),
        caveats=_caveats(comparison),
    )


def _lead(comparison: Comparison) -> Lead:
    first, second = comparison.ranked[:2]
    pair = comparison.pair(first.name, second.name)
    low, high = pair.differences[0].interval
    return Lead(
        first=first.name,
        second=second.name,
        score=comparison.score(first),
        next_score=comparison.score(second),
        interval=(low, high) if pair.first == first.name else (-high, -low),
        p=comparison.p(pair),
    )


def _price(comparison: Comparison, cost: str) -> Price:
    of, best = COSTS[cost], comparison.ranked[0]
    cheapest = min(comparison.methods, key=of)
    if of(cheapest) == of(best):
        return Price(cost, cheapest.name, 1.0)
    return Price(cost, cheapest.name, of(best) / of(cheapest) if of(cheapest) else None)


def _front(comparison: Comparison, cost: str, names: frozenset[str]) -> Front:
    ranked = [one.name for one in comparison.ranked]
    return Front(cost, tuple(one for one in ranked if one in names), tuple(one for one in ranked if one not in names))


def _guess(comparison: Comparison) -> Guess | None:
    first = comparison.methods[0]
    test = read_resampled_test(comparison.task, first.final, first.predictions)
    best = test.best_guess(comparison.main)
    if best is None:
        return None
    score = test.guesses[best].metrics[comparison.main]
    below = [one.name for one in comparison.ranked if comparison.interval(one, comparison.main)[0] <= score]
    return Guess(best, score, tuple(below))


def _gains(comparison: Comparison) -> tuple[Gain, ...]:
    key = f"test/{comparison.main}"
    return tuple(
        Gain(one.name, before, comparison.score(one))
        for one in comparison.methods
        if (before := one.final.before.get(key)) is not None
    )


def _caveats(comparison: Comparison) -> Caveats:
    found = comparison.methods
    trials = {one.name: one.searched for one in found}
    bases = tuple(
        Base(
            method=one.name,
            name=one.base,
            drawn=one.config.model.init != "pretrained",
            shrunk=any(size is not None for size in one.config.model.shrink.model_dump().values()),
        )
        for one in found
    )
    refitted = tuple(one.name for one in found if one.final.refit)
    return Caveats(
        trials=trials if len(set(trials.values())) > 1 else {},
        bases=bases if len({(base.name, base.drawn, base.drawn and base.shrunk) for base in bases}) > 1 else (),
        refitted=refitted if len(refitted) < len(found) else (),
        read_again=tuple(one.name for one in found if one.final.test_readings > 1),
    )
