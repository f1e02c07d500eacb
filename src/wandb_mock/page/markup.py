"""HTML of tables, links and numbers. Every text that a client sent goes through `escape` here."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import quote

from wandb_mock.records import Run


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table: its HTML, and for a cell with a number the number by which a table that
    sorts takes it."""

    html: str
    number: float | None = None

    def __str__(self) -> str:
        if self.number is None:
            return f"<td>{self.html}</td>"
        return f'<td class="number" data-number="{_for_script(self.number)}">{self.html}</td>'


def cell(value: object) -> Cell:
    """Return the cell of a value as a client sent it: a number, a text, a truth value, a list, a
    dictionary or None."""
    if value is None:
        return Cell("")
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = as_float(value)
        return Cell(escape(plain(value)), None if math.isnan(number) else number)
    return Cell(escape(value if isinstance(value, str) else json.dumps(value)))


def as_float(value: float) -> float:
    """Return a number of JSON as a float. JSON has integers that are larger than any float."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _for_script(number: float) -> str:
    """Return the number as JavaScript writes it."""
    return repr(number) if math.isfinite(number) else "Infinity" if number > 0 else "-Infinity"


def plain(value: object) -> str:
    """Return a number with at most six digits; any other value as Python shows it."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def table(heads: Sequence[str], rows: Iterable[Sequence[Cell]], *, sortable: bool = False) -> str:
    """Return a table. `sortable` lets the page's script sort it where the user clicks a column's
    head."""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    lines = "".join("<tr>" + "".join(map(str, row)) + "</tr>\n" for row in rows)
    kind = ' class="sortable"' if sortable else ""
    return f"<table{kind}>{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>\n{lines}</tbody></table>"


def scrolling(inside: str) -> str:
    """Return a part of the page with scroll bars of its own."""
    return f'<div class="scroll">{inside}</div>'


def pairs(values: Mapping[str, Any]) -> str:
    """Return a table of names and values, less the names that the client uses for itself, which
    begin with `_`."""
    shown = {name: value for name, value in sorted(values.items()) if not name.startswith("_")}
    rows = [[Cell(escape(name)), Cell(f"<code>{escape(json.dumps(value))}</code>")] for name, value in shown.items()]
    return table(("name", "value"), rows) if rows else "<p>Empty.</p>"


def link(address: str, text: str) -> str:
    return f'<a href="{escape(address)}">{escape(text)}</a>'


def run_link(run: Run) -> str:
    """Return a link to the page of a run, which has the address that the client prints."""
    return link(f"{project_address(run.entity, run.project)}/runs/{_quoted(run.id)}", run.display_name)


def project_address(entity: str, project: str) -> str:
    return f"/{_quoted(entity)}/{_quoted(project)}"


def _quoted(part: str) -> str:
    return quote(part, safe="")
