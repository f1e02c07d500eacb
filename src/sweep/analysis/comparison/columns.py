"""One value a method: the columns of a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower", ""]
Unit = Literal["score", "count", "share", "size", "seconds", "rate", "flops", "hours"]


@dataclass(frozen=True, slots=True)
class Column:
    """`values` hold one value a method, None where it is not known. `beside` are the values of
    rows that are no methods (baselines), which are never the best. `better` is empty where no
    value is better than another."""

    title: str
    values: Sequence[float | None]
    better: Better = ""
    unit: Unit = "score"
    beside: Sequence[float | None] = ()

    @property
    def known(self) -> bool:
        return any(value is not None for value in (*self.values, *self.beside))

    @property
    def best(self) -> float | None:
        """Return the best value; None where fewer than two are known, or all are equal."""
        known = [value for value in self.values if value is not None and math.isfinite(value)]
        if not self.better or len(known) < 2 or len(set(known)) == 1:
            return None
        return max(known) if self.better == "higher" else min(known)


def known(columns: Sequence[Column]) -> tuple[Column, ...]:
    """Return the columns of which any value is known."""
    return tuple(column for column in columns if column.known)
