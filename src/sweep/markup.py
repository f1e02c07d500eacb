"""Markdown as GitHub reads it, with every text that is not ours made harmless."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"[\\`*_\[\]|~$]")
ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_NUMBER = re.compile(r"(\*\*)?([+-]?\d|–|nan|[+-]?inf)")
_BARE_PIPE = re.compile(r"(?<!\\)\|")


def escape(text: str, limit: int | None = None) -> str:
    """Return `text` as one line of plain words: no markup, no HTML, no table border; cut after
    `limit` characters."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    if limit is not None and len(line) > limit:
        line = line[: limit - 1].rstrip() + "…"
    return _SPECIAL.sub(r"\\\g<0>", line.translate(ENTITIES))


def code(text: str) -> str:
    """Return a code span, whatever backticks `text` holds."""
    line = " ".join(text.split()) or " "
    fence = "`" * (_longest_run(line) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def block(text: str, language: str = "") -> str:
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table. Cells are Markdown already. Columns of numbers, dashes included, are aligned
    right."""
    cells = [list(row) for row in rows]
    columns = list(zip(*cells, strict=True)) if cells else [()] * len(titles)
    marks = ["---:" if column and all(map(_NUMBER.match, column)) else ":---" for column in columns]
    return "\n".join(map(row, [titles, marks, *cells]))


def join(parts: Iterable[str]) -> str:
    return "\n\n".join(part for part in parts if part)


def row(cells: Sequence[str]) -> str:
    """Return a line of a table; the cells are Markdown already."""
    return "| " + " | ".join(_BARE_PIPE.sub(r"\\|", cell.replace("\n", " ")) for cell in cells) + " |"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
