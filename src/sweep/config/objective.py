"""The order of evaluations by the study's metric, and the values that a study may have two of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic_core import PydanticCustomError

from sweep.config.extra_metrics import lower_is_better, short
from sweep.config.measured import MEASURED

T = TypeVar("T")
_ROUNDING = 1e-12  # of the difference of two scores
LOSS = "eval/loss"  # decides between evaluations with the same value of the metric


@dataclass(frozen=True, slots=True)
class Objective:
    """The metric that decides, and its direction. `metric` is a name such as `eval/accuracy`.

    With a `second` objective the best of several items is the best in that one among those that
    are at most `within` worse in the metric than the best of all.
    """

    metric: str
    maximize: bool
    second: Objective | None = field(default=None, compare=False)
    within: float = field(default=0.0, compare=False)

    def of(self, metrics: Mapping[str, float]) -> float:
        """Return the value of the metric, or NaN where it was not measured."""
        return metrics.get(self.metric, math.nan)

    def gain(self, new: float, over: float) -> float:
        """Return how much better `new` is; negative where it is worse."""
        return new - over if self.maximize else over - new

    def lower(self, name: str) -> bool:
        """Return whether less is better of a metric, with its split (`test/accuracy`) or without.

        The study's direction says so for its own metric, on every split.
        """
        return not self.maximize if short(name) == short(self.metric) else lower_is_better(name)

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

    def loss_of(self, value: float) -> float:
        """Return a value as a number of which less is better; infinite where it is no number."""
        return math.inf if math.isnan(value) else -self.gain(value, 0.0)

    def chosen_first(self, items: Iterable[T], first: Callable[[T], float], second: Callable[[T], float]) -> list[T]:
        """Return the items in the order of both objectives: those within reach of the best in the
        first one by the second one, then the others by the first one and the second one.

        Items that are equal in both stay as they were given.
        """
        if self.second is None:
            return list(items)
        other = self.second
        found = sorted(items, key=lambda item: (self.loss_of(first(item)), other.loss_of(second(item))))
        most = self.loss_of(first(found[0])) + self.within + _ROUNDING if found else 0.0
        near = [item for item in found if self.loss_of(first(item)) <= most]
        return [*sorted(near, key=lambda item: other.loss_of(second(item))), *found[len(near) :]]


def second_objective(metric: str, direction: str | None) -> Objective:
    """Return a second objective. Without a direction it is the one that is known of the metric;
    less is better of a measured value."""
    lower = direction == "minimize" if direction else metric in MEASURED or lower_is_better(metric)
    return Objective(metric, maximize=not lower)


_SECOND = {"metric": "second_metric", "direction": "second_direction"}


def two_objectives(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a study with a list of one or two metrics, or directions, as two keys.

    A list that cannot be taken so stays, and `no_list` refuses it.
    """
    found = dict(values)
    for key, second in _SECOND.items():
        given = found.get(key)
        if isinstance(given, list | tuple) and 1 <= len(given) <= 2 and found.get(second) in (None, given[-1]):
            found[key], *rest = given
            found |= {second: rest[0]} if rest else {}
    return found


def no_list(value: Any) -> Any:
    """Return the value of `study.metric` or `study.direction`. Raises PydanticCustomError for a
    list that `two_objectives` left."""
    if isinstance(value, list | tuple):
        raise PydanticCustomError(
            "objectives", "be one value or a list of two, and no list where study.second_… has another value"
        )
    return value
