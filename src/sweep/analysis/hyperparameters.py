"""The effect of each hyperparameter over the completed trials, as far as their number allows."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sweep.analysis.facts import Facts
from sweep.analysis.inference import rank_correlation
from sweep.config.schema import Scalar

_THIRDS = 6  # completed trials from which the best third is more than one trial
ENOUGH = 8  # completed trials below which an importance would be noise
DIRECTION = 5  # below which no order, not even a perfect one, is rarer than 5 % by chance: of 4 values 2 in 24
CHANCE = 0.05
_EDGE = 0.03  # share of a range, on its own scale, that counts as its end


@dataclass(frozen=True, slots=True)
class Choice:
    """The mean score of the trials that had this choice."""

    name: str
    mean: float
    trials: int


@dataclass(frozen=True, slots=True)
class Effect:
    """`correlation` and `p` are Spearman's with the objective itself, whichever way it is to go.

    They are None where the values are no numbers, do not vary, or are fewer than three. `choices`
    holds the listed ones by name. `better` says which values scored better, where there is a
    correlation other than 0, and `clear` that it is stronger than chance would have it. `top`
    holds the numbers of the best third of the trials, from six trials on.
    """

    key: str
    trials: int
    correlation: float | None
    p: float | None
    importance: float | None
    choices: tuple[Choice, ...]
    low: float | None
    high: float | None
    top: tuple[float, ...] = ()
    better: Literal["higher", "lower"] | None = None
    clear: bool = False


@dataclass(frozen=True, slots=True)
class Related:
    """Two searched numbers that moved together in the completed trials: their effects cannot be
    told apart."""

    first: str
    second: str
    correlation: float


@dataclass(frozen=True, slots=True)
class Edge:
    """The winner's value lies at one end of the searched range, so a better one may lie beyond
    it."""

    key: str
    value: float
    end: Literal["lower", "upper"]
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """`direction_known` and `importance_known` say whether enough trials have completed for it,
    which is `direction_from` and `importance_from` of them; `related` is empty where they have
    not. `values` are the winner's, or those of the best trial so far."""

    completed: int
    direction_from: int
    importance_from: int
    direction_known: bool
    importance_known: bool
    values: Mapping[str, Scalar]
    effects: tuple[Effect, ...]
    related: tuple[Related, ...]
    edges: tuple[Edge, ...]

    @property
    def shares(self) -> tuple[tuple[str, float], ...]:
        """Return the keys that have an importance with it, the largest first."""
        known = [(one.key, one.importance) for one in self.effects if one.importance is not None]
        return tuple(sorted(known, key=lambda pair: -pair[1]))


def hyperparameters(facts: Facts) -> Hyperparameters | None:
    """Return what each searched key did; None where nothing was searched, or only one trial was
    wanted."""
    if not facts.searched or facts.alone:
        return None
    completed = len(facts.completed)
    enough = completed >= DIRECTION
    return Hyperparameters(
        completed=completed,
        direction_from=DIRECTION,
        importance_from=ENOUGH,
        direction_known=enough,
        importance_known=completed >= ENOUGH,
        values=facts.winner.params if facts.winner else {},
        effects=effects(facts),
        related=related(facts) if enough else (),
        edges=tuple(edge for key in facts.searched if (edge := _edge(facts, key))),
    )


def effects(facts: Facts) -> tuple[Effect, ...]:
    shares = importances(facts)
    return tuple(_effect(facts, key, shares.get(key)) for key in facts.searched)


def importances(facts: Facts) -> dict[str, float]:
    """Return the importance of each searched key by Optuna's default evaluator, PED-ANOVA
    (Watanabe et al., IJCAI 2023), on the completed trials; empty below ENOUGH.

    The trials are taken from the records, so no storage is opened. Keys searched under a condition
    only are left out.
    """
    scored = _scored(facts)
    if len(scored) < ENOUGH:
        return {}
    import optuna

    common = [key for key in facts.searched if all(key in params for params, _ in scored)]
    varied = [key for key in common if len({repr(params[key]) for params, _ in scored}) > 1]
    if not varied:
        return {}
    ranges = {key: _distribution(facts.lock.space.get(key), [params[key] for params, _ in scored]) for key in varied}
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction=facts.study.direction)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study.add_trials(
            optuna.trial.create_trial(params={key: params[key] for key in varied}, distributions=ranges, value=value)
            for params, value in scored
        )
        return dict(optuna.importance.get_param_importances(study))


def related(facts: Facts, least: float = 0.7) -> tuple[Related, ...]:
    """Return the pairs whose rank correlation is at least `least` in size."""
    scored = [params for params, _ in _scored(facts)]
    found = []
    for index, first in enumerate(facts.searched):
        for second in facts.searched[index + 1 :]:
            both = [(params[first], params[second]) for params in scored if first in params and second in params]
            left, right = _numbers([a for a, _ in both]), _numbers([b for _, b in both])
            seen = rank_correlation(left, right) if left and right else None
            if seen is not None and abs(seen[0]) >= least:
                found.append(Related(first, second, seen[0]))
    return tuple(found)


def _edge(facts: Facts, key: str) -> Edge | None:
    """Return the end of the searched range at which the winner's value lies; None where it lies at
    neither. A lower end of 0 does not count, since no better value lies below it."""
    spec, chosen = facts.lock.space.get(key), facts.winner.params.get(key) if facts.winner else None
    if not isinstance(spec, Mapping) or "low" not in spec or isinstance(chosen, bool | str | None):
        return None
    low, high = spec["low"], spec["high"]
    if not low <= chosen <= high or low == high:
        return None
    start, end, at = (math.log(one) if spec.get("log") else one for one in (low, high, chosen))
    place = (at - start) / (end - start)
    if _EDGE < place < 1 - _EDGE or (place <= _EDGE and low == 0):
        return None
    return Edge(key, chosen, "lower" if place <= _EDGE else "upper", low, high)


def _effect(facts: Facts, key: str, importance: float | None) -> Effect:
    pairs = [(params[key], value) for params, value in _scored(facts) if key in params]
    values, scores = [chosen for chosen, _ in pairs], [value for _, value in pairs]
    numbers = _numbers(values)
    seen = rank_correlation(numbers, scores) if numbers else None
    return Effect(
        key=key,
        trials=len(pairs),
        correlation=seen[0] if seen else None,
        p=seen[1] if seen else None,
        importance=importance,
        choices=_choices(facts.lock.space.get(key), pairs),
        low=min(numbers) if numbers else None,
        high=max(numbers) if numbers else None,
        top=_top(numbers or [], scores, maximize=facts.maximize),
        better=_better(seen[0], maximize=facts.maximize) if seen else None,
        clear=seen is not None and seen[1] <= CHANCE,
    )


def _top(numbers: Sequence[float], scores: Sequence[float], *, maximize: bool) -> tuple[float, ...]:
    if len(numbers) < _THIRDS:
        return ()
    ranked = sorted(zip(scores, numbers, strict=True), key=lambda pair: pair[0], reverse=maximize)
    return tuple(number for _, number in ranked[: len(ranked) // 3])


def _scored(facts: Facts) -> list[tuple[Mapping[str, Scalar], float]]:
    pairs = [(trial.params, facts.score(trial)) for trial in facts.completed]
    return [(params, value) for params, value in pairs if value is not None and math.isfinite(value)]


def _numbers(values: Sequence[Scalar]) -> list[float] | None:
    if not values or any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return None
    return [float(value) for value in values if isinstance(value, int | float)]


def _better(correlation: float, *, maximize: bool) -> Literal["higher", "lower"] | None:
    if correlation == 0:
        return None
    return "higher" if (correlation > 0) == maximize else "lower"


def _choices(spec: Any, pairs: Sequence[tuple[Scalar, float]]) -> tuple[Choice, ...]:
    """Return the mean score of each choice, sorted by name; empty for numbers that were not
    listed."""
    if not (isinstance(spec, Mapping) and "choices" in spec) and _numbers([value for value, _ in pairs]):
        return ()
    groups: dict[str, list[float]] = {}
    for chosen, score in pairs:
        groups.setdefault(repr(chosen) if chosen is None else str(chosen), []).append(score)
    return tuple(Choice(name, math.fsum(scores) / len(scores), len(scores)) for name, scores in sorted(groups.items()))


def _distribution(spec: Any, values: Sequence[Scalar]) -> Any:
    """Return the searched range, widened to values of enqueued trials outside it."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    spec = spec if isinstance(spec, Mapping) else {}
    numbers = _numbers(values)
    if "choices" in spec or numbers is None:
        return CategoricalDistribution(list(dict.fromkeys([*spec.get("choices", ()), *values])))
    low, high = min(spec.get("low", min(numbers)), *numbers), max(spec.get("high", max(numbers)), *numbers)
    whole = all(isinstance(value, int) for value in [*values, *(spec.get(end, 0) for end in ("low", "high"))])
    log = bool(spec.get("log", False)) and low > 0
    return IntDistribution(int(low), int(high), log=log) if whole else FloatDistribution(low, high, log=log)
