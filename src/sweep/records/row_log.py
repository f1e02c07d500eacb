"""The rows of a training that may be stopped and go on: each is kept once, and shown once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sweep.records.events import append_row, mended_rows, replace_rows
from sweep.records.same_rows import same_row
from sweep.records.trial import EvalPoint, Step

Row = Step | EvalPoint
_Key = tuple[type[Row], int]  # kind and step


@dataclass(slots=True)
class RowLog:
    """The rows in the events.jsonl of a folder, in order.

    A training that goes on from a snapshot repeats the rows that came after it. Where one comes
    out otherwise, as on another machine, it replaces the former one and all after it. A dashboard
    keeps the rows that it was shown: `_shown` has their kinds and steps.
    """

    folder: Path
    rows: list[Row]
    _places: dict[_Key, int]
    _shown: set[_Key]

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Return what earlier processes left, without lines that were cut off."""
        rows = mended_rows(folder)
        places = {_key(row): place for place, row in enumerate(rows)}
        return cls(folder, rows, places, set(places))

    @property
    def evals(self) -> list[EvalPoint]:
        """Return the evaluations."""
        return [row for row in self.rows if isinstance(row, EvalPoint)]

    def differs(self, row: Row) -> bool:
        """Return whether there is another row of the same kind and step."""
        former = self._former(row)
        return former is not None and not same_row(former, row)

    def add(self, row: Row) -> bool:
        """Keep a row. Return False for one that is there already."""
        if self.differs(row):
            self._drop_from(self._places[_key(row)])
        elif self._former(row) is not None:
            return False
        append_row(row, self.folder)
        self._places[_key(row)] = len(self.rows)
        self.rows.append(row)
        return True

    def show(self, row: Row) -> bool:
        """Note that a row is shown on the dashboard. Return False where a row of its kind and step
        was shown before."""
        first = _key(row) not in self._shown
        self._shown.add(_key(row))
        return first

    def _former(self, row: Row) -> Row | None:
        place = self._places.get(_key(row))
        return None if place is None else self.rows[place]

    def _drop_from(self, place: int) -> None:
        for row in self.rows[place:]:
            self._places.pop(_key(row), None)
        del self.rows[place:]
        replace_rows(self.rows, self.folder)


def _key(row: Row) -> _Key:
    return type(row), row.step
