"""Markdown as GitHub reads it, for model cards and reports, with foreign texts escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sweep.config.extra_metrics import label_of, short

_SPECIAL = re.compile(r"[\\`*_\[\]|~$]")
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_NUMBER = re.compile(r"(\*\*)?([+-]?\d|–|nan|[+-]?inf)")
_BARE_PIPE = re.compile(r"(?<!\\)\|")


def escape(text: str, limit: int | None = None) -> str:
    """Return the text as one line of plain words: no markup, no HTML, no table border; cut after
    `limit` characters."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    if limit is not None and len(line) > limit:
        line = line[: limit - 1].rstrip() + "…"
    return _SPECIAL.sub(r"\\\g<0>", line.translate(_ENTITIES))


def metric(name: str) -> str:
    """Return the name of a metric as Markdown: the label in that of one label's F1 is a foreign
    text."""
    return escape(name) if label_of(short(name)) else name


def limit(name: str) -> str:
    """Return the name of a limit as Markdown, as `metric` that of a metric: `eval.f1/LABEL`."""
    return escape(name) if "/" in name else name


def code(text: str) -> str:
    """Return a code span, whatever backticks the text holds."""
    line = " ".join(text.split()) or " "
    fence = "`" * (_longest_run(line) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def block(text: str, language: str = "") -> str:
    """Return a code block, whatever fences the text holds."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; the cells are Markdown already. Columns of numbers, dashes among them, are
    aligned right."""
    cells = [list(row) for row in rows]
    columns = list(zip(*cells, strict=True)) if cells else [()] * len(titles)
    marks = ["---:" if column and all(map(_NUMBER.match, column)) else ":---" for column in columns]
    return "\n".join(map(row, [titles, marks, *cells]))


def row(cells: Sequence[str]) -> str:
    """Return a line of a table; the cells are Markdown already."""
    return "| " + " | ".join(map(cell, cells)) + " |"


def cell(markdown: str) -> str:
    """Return Markdown for one cell of a table: no bare pipe and no line break."""
    return _BARE_PIPE.sub(r"\\|", markdown.replace("\n", " "))


def cells(row: str) -> list[str]:
    """Return the cells of a `| cell | cell |` line, without the spaces around them."""
    return [one.strip() for one in divided(row.strip())[1:-1]]


def divided(line: str) -> list[str]:
    """Return the parts of a line between its bare pipes."""
    return _BARE_PIPE.split(line)


def environment(templates: Path) -> Environment:
    """Return a Jinja environment for the Markdown templates of a folder. Nothing is escaped by
    itself: every text that is not ours passes through `md`, or another filter of this module."""
    jinja = Environment(
        loader=FileSystemLoader(templates),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    jinja.filters |= {
        "md": escape,
        "metric": metric,
        "limit": limit,
        "code": code,
        "block": block,
        "row": row,
        "cell": cell,
        "plain": plain,
    }
    return jinja


def plain(text: str) -> str:
    """Return the text as one line of HTML without markup, for the summary of a fold."""
    return " ".join(text.split()).translate(_ENTITIES)


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
