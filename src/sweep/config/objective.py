"""What makes one evaluation better than another: decided here, for every room."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Objective:
    """`metric` is a name such as `eval/accuracy`."""

    metric: str
    maximize: bool

    def of(self, metrics: Mapping[str, float]) -> float:
        """NaN where it was not measured."""
        return metrics.get(self.metric, math.nan)

    def gain(self, new: float, over: float) -> float:
        """How much better `new` is; negative if it is worse."""
        return new - over if self.maximize else over - new

    def best(self, items: Iterable[T], metrics: Callable[[T], Mapping[str, float]]) -> T | None:
        """The first of the best; None where nothing has a finite value."""
        return next(iter(self.ranked(items, metrics)), None)

    def ranked(self, items: Iterable[T], metrics: Callable[[T], Mapping[str, float]]) -> list[T]:
        """Best first, equals in the order given; without those that have no finite value."""
        valued = [(self.of(metrics(item)), item) for item in items]
        usable = [(value, item) for value, item in valued if math.isfinite(value)]
        return [item for _, item in sorted(usable, key=lambda pair: pair[0], reverse=self.maximize)]
