"""The times of rows, and the cut that holds out the newest rows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from math import ceil, isfinite
from typing import Any

from sweep.data.select import Indices
from sweep.errors import shortened

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True, slots=True, order=True)
class Moment:
    """The time of a row. `value` orders the rows of a split: seconds, or the stored number.
    `shown` is the time as it is stored."""

    value: float
    shown: str


class NotATimeError(Exception):
    """A cell that is no time. `index` is that of its row; the message says what it holds."""

    def __init__(self, index: int, message: str) -> None:
        super().__init__(message)
        self.index = index


def moments(cells: Sequence[Any]) -> tuple[Moment, ...]:
    """Return the times in the cells of a column: dates and times of the file's own types, ISO 8601
    texts, or numbers such as epochs. A time without a zone counts as UTC. Raises NotATimeError for
    the first cell that is none of these."""
    texts = [cell.strip() for cell in cells if isinstance(cell, str)]
    numeric = bool(texts) and all(map(_NUMBER.fullmatch, filter(None, texts)))
    return tuple(_moment(index, cell, numeric=numeric) for index, cell in enumerate(cells))


def cut_newest(indices: Indices, size: int, times: Mapping[int, Moment]) -> tuple[Indices, Indices]:
    """Return the rows that stay and about `size` newest rows, both in file order. Rows of one time
    are on one side: where the cut would come between them, they go to the nearer side.

    Raises ValueError if all rows have one time.
    """
    order = sorted(indices, key=lambda index: (times[index].value, index))
    found = boundaries(order, [len(order) - size], times)
    return tuple(sorted(order[: found[0]])), tuple(sorted(order[found[0] :]))


def cut_into_blocks(indices: Indices, count: int, times: Mapping[int, Moment]) -> list[Indices]:
    """Return the rows in `count` blocks of about one size, oldest first. Rows of one time are in
    one block. Raises ValueError where the rows have fewer times."""
    order = sorted(indices, key=lambda index: (times[index].value, index))
    ends = boundaries(order, [len(order) * block // count for block in range(1, count)], times)
    return [tuple(sorted(order[start:end])) for start, end in zip([0, *ends], [*ends, len(order)], strict=True)]


def boundaries(order: Sequence[int], wanted: Sequence[int], times: Mapping[int, Moment]) -> list[int]:
    """Return the places in `order` nearest to the `wanted` ones at which the time changes, rising.

    Raises ValueError if there are not so many.
    """
    changes = [place for place in range(1, len(order)) if times[order[place - 1]].value < times[order[place]].value]
    if len(changes) < len(wanted):
        raise ValueError(f"needs {len(wanted) + 1} times, but {len(order)} rows have {len(changes) + bool(order)}")
    found: list[int] = []
    for number, place in enumerate(wanted):
        left = changes[number : len(changes) - (len(wanted) - number - 1)]  # leaves a place for each later one
        later = [change for change in left if not found or change > found[-1]]
        found.append(min(later, key=lambda change: (abs(change - place), change)))
    return found


def newest_size(ratio: float, count: int) -> int:
    """Return the number of rows that a cut of `ratio` takes off, as in `sweep.data.select.cut`."""
    return ceil(ratio * count)


def _moment(index: int, cell: Any, *, numeric: bool) -> Moment:
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        raise NotATimeError(index, "no time")
    if isinstance(cell, bool):
        raise NotATimeError(index, f"{cell}, which is no time")
    if isinstance(cell, int | float | Decimal) or numeric:
        value = float(cell)
        if not isfinite(value):
            raise NotATimeError(index, f"{cell}, which is no time")
        return Moment(value, str(cell).strip())
    if isinstance(cell, datetime):
        return Moment(_seconds(cell), cell.isoformat(sep=" "))
    if isinstance(cell, date):
        return Moment(_seconds(datetime(cell.year, cell.month, cell.day)), cell.isoformat())
    if isinstance(cell, str):
        try:
            return Moment(_seconds(datetime.fromisoformat(cell.strip())), cell.strip())
        except ValueError:
            pass
    rule = "which is neither an ISO 8601 time, such as 2024-05-31 or 2024-05-31T12:00:00Z, nor, as all others, a number"
    raise NotATimeError(index, f"{shortened(repr(cell), 60)}, {rule}")


def _seconds(found: datetime) -> float:
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
