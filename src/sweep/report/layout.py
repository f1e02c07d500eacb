"""Markdown as templates write it: continued lines, tables, lists, and columns for the terminal."""

from __future__ import annotations

import re

from sweep.model import markdown
from sweep.report.units import MISSING

_FENCED = re.compile(r"^(`{3,})[^\n]*\n.*?^\1$", re.MULTILINE | re.DOTALL)
_CONTINUED = re.compile(r"[ \t]*\n[ \t]+(?=\S)")
_SPACES = re.compile(r"(?<=\S)  +(?=\S)")
_EMPTY_LINES = re.compile(r"\n{3,}")


def laid_out(text: str) -> str:
    """Return the Markdown as it is written to a file; text between code fences stays as it is.

    An indented line continues the line above it, so that a template may break a long sentence.
    Several spaces become one (not in tables, whose cells may be empty), several empty lines one,
    and empty lines at both ends go.
    """
    parts, start = [], 0
    for fenced in _FENCED.finditer(text):
        parts += [_flowing(text[start : fenced.start()]), fenced.group()]
        start = fenced.end()
    return "".join([*parts, _flowing(text[start:])]).strip("\n")


def table(lines: str, sparse: bool = False) -> str:
    """Return the table whose rows are `| cell | cell |` lines, the titles first; columns of
    numbers are aligned right.

    A `sparse` table leaves out columns in which every value is missing.
    """
    rows = [markdown.cells(line) for line in _filled(lines)]
    if sparse:
        columns = [column for column in zip(*rows, strict=True) if set(column[1:]) != {MISSING}]
        rows = [list(row) for row in zip(*columns, strict=True)]
    return markdown.table(rows[0], rows[1:]) + "\n"


def bullets(lines: str) -> str:
    """Return a list with an item for each line."""
    return "".join(f"- {line}\n" for line in _filled(lines))


def listing(lines: str, separator: str = ", ") -> str:
    """Return the lines in one, with `separator` between them."""
    return separator.join(_filled(lines))


def aligned(lines: str, *widths: int) -> str:
    """Return lines of cells, `cell | cell`, in columns for a terminal; the titles come first. A
    `|` in a cell is preceded by a backslash, which is taken off.

    The first columns have these widths, the one after them that of its longest cell; the others,
    numbers, are aligned right.
    """
    rows = [
        [one.strip().replace("\\|", "|") for one in markdown.divided(line)]
        for line in lines.splitlines()
        if line.strip()
    ]
    left = (*widths, max(len(row[len(widths)]) for row in rows) + 2)
    right = [max(len(title), 6) + 2 for title in rows[0][len(left) :]]
    padded = (
        [
            *(one.ljust(width) for one, width in zip(row, left, strict=False)),
            *(one.rjust(width) for one, width in zip(row[len(left) :], right, strict=True)),
        ]
        for row in rows
    )
    return "".join("".join(row) + "\n" for row in padded)


def bold(row: str, when: object = True, dashes: bool = False) -> str:
    """Return a table's row with every cell in bold; missing values only with `dashes`."""
    if not when:
        return row
    found = markdown.cells(_CONTINUED.sub(" ", row.strip()))
    return f"| {' | '.join(f'**{one}**' if dashes or one != MISSING else one for one in found)} |\n"


def _filled(lines: str) -> list[str]:
    """Return each line with its continuations, without empty lines."""
    joined = _CONTINUED.sub(" ", lines).split("\n")
    return [
        _SPACES.sub(" ", line.strip()) if not line.startswith("|") else line.strip() for line in joined if line.strip()
    ]


def _flowing(text: str) -> str:
    lines = _CONTINUED.sub(" ", text).split("\n")
    kept = (line.rstrip() if line.startswith("|") else _SPACES.sub(" ", line).rstrip() for line in lines)
    return _EMPTY_LINES.sub("\n\n", "\n".join(kept))
