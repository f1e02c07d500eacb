"""The numbers of a comparison's figures. A method is named by its index in
`Comparison.methods`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sweep.analysis.comparison.comparison import Comparison
from sweep.analysis.comparison.costs import COSTS
from sweep.analysis.comparison.methods import ComparedMethod

Pace = Literal["epoch", "step"]


@dataclass(frozen=True, slots=True)
class Bar:
    """A score of one method with its 95 % interval."""

    place: int
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Series:
    """The evaluations of a method's retraining, each as (x, value), and the best of them."""

    place: int
    points: tuple[tuple[float, float], ...]
    best: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Curves:
    """A metric by epoch or by step. A method without a finite value has no series."""

    metric: str
    by: Pace
    series: tuple[Series, ...]


@dataclass(frozen=True, slots=True)
class Spot:
    """The quality of a method against its cost; `kept` if it is in the Pareto set."""

    score: Bar
    cost: float
    kept: bool


@dataclass(frozen=True, slots=True)
class Pareto:
    """`front` holds the Pareto set as (cost, score), the cheapest first."""

    cost: str
    front: tuple[tuple[float, float], ...]
    spots: tuple[Spot, ...]


@dataclass(frozen=True, slots=True)
class Charts:
    """`names` are those of the methods by place; `scores` holds by metric a bar for each method,
    the best method first."""

    names: tuple[str, ...]
    main: str
    scores: dict[str, tuple[Bar, ...]]
    curves: tuple[Curves, ...]
    pareto: tuple[Pareto, ...]


def charts(comparison: Comparison) -> Charts:
    """Return the numbers of every figure."""
    places = [comparison.methods.index(one) for one in comparison.ranked]
    return Charts(
        names=tuple(one.name for one in comparison.methods),
        main=comparison.main,
        scores={name: tuple(_bar(comparison, place, name) for place in places) for name in comparison.metrics},
        curves=_curves(comparison),
        pareto=tuple(_pareto(comparison, cost, of) for cost, of in COSTS.items()),
    )


def _bar(comparison: Comparison, place: int, metric: str) -> Bar:
    one = comparison.methods[place]
    return Bar(place, comparison.resampled.seen[one.name][metric], *comparison.interval(one, metric))


def _curves(comparison: Comparison) -> tuple[Curves, ...]:
    """Return the objective by epoch, and by step where epochs differ in steps; then the loss."""
    metric = comparison.objective.metric
    panels: list[tuple[str, Pace]] = [(name, "epoch") for name in dict.fromkeys([metric, "eval/loss"])]
    if len(_paces(comparison)) > 1:  # else the same picture again
        panels.insert(1, (metric, "step"))
    return tuple(Curves(name, by, _series(comparison, name, by)) for name, by in panels)


def _series(comparison: Comparison, metric: str, by: Pace) -> tuple[Series, ...]:
    pick, found = min if comparison.objective.lower(metric) else max, []
    for place, one in enumerate(comparison.methods):
        points = tuple(
            (float(getattr(point, by)), point.metrics[metric])
            for point in one.final.retrain_evals
            if math.isfinite(point.metrics.get(metric, math.nan))
        )
        if points:
            found.append(Series(place, points, pick(points, key=lambda point: point[1])))
    return tuple(found)


def _paces(comparison: Comparison) -> set[int]:
    """Return the numbers of steps that an epoch has."""
    points = (point for one in comparison.methods for point in one.final.retrain_evals[-1:])
    return {round(point.step / point.epoch) for point in points if point.epoch > 0}


def _pareto(comparison: Comparison, cost: str, of: Callable[[ComparedMethod], float]) -> Pareto:
    costs = [of(one) for one in comparison.methods]
    kept = comparison.front(costs)
    spots = tuple(
        Spot(_bar(comparison, place, comparison.main), price, one.name in kept)
        for place, (one, price) in enumerate(zip(comparison.methods, costs, strict=True))
    )
    return Pareto(cost, tuple(sorted((spot.cost, spot.score.value) for spot in spots if spot.kept)), spots)
