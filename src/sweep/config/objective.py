"""The order of evaluations by the study's metric."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
LOSS = "eval/loss"  # decides between evaluations with the same value of the metric


@dataclass(frozen=True, slots=True)
class Objective:
    """The metric that decides, and its direction. `metric` is a name such as `eval/accuracy`."""

    metric: str
    maximize: bool

    def of(self, metrics: Mapping[str, float]) -> float:
        """Return the value of the metric, or NaN where it was not measured."""
        return metrics.get(self.metric, math.nan)

    def gain(self, new: float, over: float) -> float:
        """Return how much better `new` is; negative where it is worse."""
        return new - over if self.maximize else over - new

    def lower(self, name: str) -> bool:
        """Return whether less is better of a metric, with its split (`test/accuracy`) or without.

        The study's direction says so for its own metric, on every split. Of the others less is
        better for the loss alone.
        """
        short = name.rpartition("/")[2]
        return not self.maximize if short == self.metric.rpartition("/")[2] else short == "loss"

    def better(self, new: Mapping[str, float], over: Mapping[str, float]) -> bool:
        """Return whether `new` ranks above `over`: by the metric, then by the lower loss."""
        return self.key(new) < self.key(over)

    def key(self, metrics: Mapping[str, float]) -> tuple[float, float]:
        """Return a sort key, best first: the metric, then the loss.

        A value that was not measured sorts last.
        """
        value, loss = self.of(metrics), metrics.get(LOSS, math.inf)
        return (
            -self.gain(value, 0.0) if math.isfinite(value) else math.inf,
            loss if math.isfinite(loss) else math.inf,
        )

    def best(self, items: Iterable[T], metrics: Callable[[T], Mapping[str, float]]) -> T | None:
        """Return the first of the best items, or None where none has a finite value."""
        return next(iter(self.ranked(items, metrics)), None)

    def ranked(
        self,
        items: Iterable[T],
        metrics: Callable[[T], Mapping[str, float]],
        size: Callable[[T], float] = lambda _: 0,
    ) -> list[T]:
        """Return the items that have a finite value, best first.

        Items of equal value are ordered by their loss, then by `size` (the smaller first), then as
        they were given.
        """
        usable = [item for item in items if math.isfinite(self.of(metrics(item)))]
        return sorted(usable, key=lambda item: (*self.key(metrics(item)), size(item)))
