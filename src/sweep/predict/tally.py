"""The count of labelled rows, and what a user is told of those that were not read whole."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.data.raw import listed

if TYPE_CHECKING:
    from sweep.predict.predictions import Prediction

_NAMED = 5  # rows that a note names


@dataclass(slots=True)
class Noted:
    """Some rows: their number, and the first of them."""

    count: int = 0
    first: list[int] = field(default_factory=list)

    def add(self, row: int) -> None:
        self.count += 1
        if len(self.first) < _NAMED:
            self.first.append(row)

    def words(self) -> str:
        more = f" and {self.count - len(self.first):,} more" if self.count > len(self.first) else ""
        return f"{'row' if self.count == 1 else 'rows'} {listed([str(row) for row in self.first])}{more}"


@dataclass(slots=True)
class Tally:
    """The rows so far, of `total` where that is known: those that were cut, and those without a
    label by reason. `started` is a time of `time.monotonic`."""

    total: int | None
    rows: int = 0
    cut: Noted = field(default_factory=Noted)
    problems: dict[str, Noted] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    def add(self, first: int, found: Sequence[Prediction]) -> None:
        """Count the predictions of the rows from number `first` on."""
        self.rows += len(found)
        for row, one in enumerate(found, start=first):
            if one.cut:
                self.cut.add(row)
            if one.problem:
                self.problems.setdefault(one.problem, Noted()).add(row)

    @property
    def pace(self) -> float:
        """Return the rows a second."""
        return self.rows / max(time.monotonic() - self.started, 1e-9)

    def words(self) -> str:
        return f"{self.rows:,} rows" if self.total is None else f"{self.rows:,} of {self.total:,} rows"

    def report(self, out: Path | None, limit: int) -> Iterator[str]:
        """Yield the lines that end a job whose model reads `limit` tokens a row."""
        where = "" if out is None else f": {out}"
        yield f"{self.rows:,} rows in {time.monotonic() - self.started:,.1f} s ({self.pace:,.0f} rows/s){where}"
        for problem, noted in self.problems.items():
            yield f"note: {noted.count:,} of {self.rows:,} rows have no label, since they have {problem}: {noted.words()}"
        if self.cut.count:
            rule = f"are longer than the {limit:,} tokens that the model reads, and were cut"
            yield f"note: {self.cut.count:,} of {self.rows:,} rows {rule}: {self.cut.words()}"


@contextmanager
def shown(tally: Tally, *, beside_rows: bool) -> Iterator[None]:
    """Show the progress of the tally on standard error, where that is a terminal; not where rows
    are written to the same one (`beside_rows`)."""
    if not sys.stderr.isatty() or (beside_rows and sys.stdout.isatty()):
        yield
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with Live(get_renderable=lambda: Text(_line(tally)), console=Console(stderr=True), transient=True):
        yield


def _line(tally: Tally) -> str:
    if tally.total is None or not tally.rows:
        return tally.words()
    left = (tally.total - tally.rows) / tally.pace
    return f"{tally.words()}, {tally.pace:,.0f} rows/s, {left / 60:,.0f} min left"
