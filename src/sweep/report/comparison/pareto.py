"""Which methods no other one beats in both quality and cost."""

from __future__ import annotations

from collections.abc import Sequence


def front(points: Sequence[tuple[float, float]]) -> tuple[bool, ...]:
    """Of (quality, cost) pairs, more of the first and less of the second being better: whether each is in the Pareto
    set. Equal points are in it together."""
    return tuple(not any(_dominates(other, point) for other in points) for point in points)


def _dominates(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one != other and one[0] >= other[0] and one[1] <= other[1]
