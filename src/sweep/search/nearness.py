"""The nearness of the points of trials to each other in the search space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Point = Mapping[str, float | str]  # numbers from 0 to 1 within their ranges, and names of choices

_LENGTH = 0.5  # in the unit cube


@dataclass(slots=True)
class Nearness:
    """The nearness of points: 1 of equal ones, and falling with their distance as a normal
    distribution does. Rows are kept from one call to the next, since points of trials do not
    change."""

    _points: Sequence[Point] = ()
    _rows: dict[int, Floats] = field(default_factory=dict)  # by the place of a point, to all points

    def of(self, points: Sequence[Point], places: Sequence[int]) -> Floats:
        """Return a row for each of the `places`, with the nearness of its point to all points."""
        if points != self._points:
            self._points, self._rows = points, {}
        chosen = list(dict.fromkeys(places))
        if new := [place for place in chosen if place not in self._rows]:
            near = np.exp(_distances(points, new) / (-2 * _LENGTH**2))
            self._rows |= zip(new, near, strict=True)
        self._rows = {place: self._rows[place] for place in chosen}
        return np.array([self._rows[place] for place in places])


def _distances(points: Sequence[Point], chosen: Sequence[int]) -> Floats:
    """Return the squared distances in the unit cube from the points at the places `chosen` to all
    points. Different choices are 1 apart, and so are keys that only one of two points has."""
    found = np.zeros((len(chosen), len(points)))
    for key in dict.fromkeys(key for point in points for key in point):
        values = [point.get(key) for point in points]
        places = np.array([value if isinstance(value, float) else 0.0 for value in values])
        # One kind for each choice, one for all numbers in the range, and one for no value.
        known: dict[object, int] = {}
        names = [float if isinstance(value, float) else value for value in values]
        kinds = np.array([known.setdefault(name, len(known)) for name in names])
        gaps = np.subtract.outer(places[chosen], places) ** 2
        found += np.maximum(gaps, np.not_equal.outer(kinds[chosen], kinds))
    return found
