"""The Pareto set of quality against cost."""

from __future__ import annotations

from collections.abc import Sequence


def front(points: Sequence[tuple[float, float]]) -> tuple[bool, ...]:
    """Return for each (quality, cost) pair whether it is in the Pareto set: more quality and less
    cost are better. Equal points are in the set together."""
    return tuple(not any(_dominates(other, point) for other in points) for point in points)


def _dominates(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one != other and one[0] >= other[0] and one[1] <= other[1]
