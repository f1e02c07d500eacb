"""Tables of methods, the best value of each column in bold."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from sweep.report.markdown import escape, table
from sweep.report.units import MISSING, score

Better = Literal["higher", "lower", ""]


@dataclass(frozen=True, slots=True)
class Column:
    """One value a method, None where it is not known; without `better` none is marked. `beside` are the values of the
    rows below the methods (baselines), which never are the best."""

    title: str
    values: Sequence[float | None]
    better: Better = ""
    show: Callable[[float], str] = score
    beside: Sequence[float | None] = ()

    @property
    def known(self) -> bool:
        return any(value is not None for value in (*self.values, *self.beside))

    def cells(self) -> list[str]:
        best = _best(self.values, self.better)
        return [_cell(value, self.show, value is not None and value == best) for value in self.values] + [
            _cell(value, self.show, False) for value in self.beside
        ]


def methods(names: Sequence[str], columns: Sequence[Column], beside: Sequence[str] = ()) -> str:
    """One row a method, then one for each name in `beside`. Columns of which nothing is known are left out."""
    kept = [column for column in columns if column.known]
    rows = zip([*map(escape, names), *map(escape, beside)], *(column.cells() for column in kept), strict=True)
    return table(["method", *(column.title for column in kept)], rows)


def _best(values: Sequence[float | None], better: Better) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not better or len(known) < 2 or len(set(known)) == 1:
        return None
    return max(known) if better == "higher" else min(known)


def _cell(value: float | None, show: Callable[[float], str], best: bool) -> str:
    if value is None:
        return MISSING
    return f"**{show(value)}**" if best else show(value)
