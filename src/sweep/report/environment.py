"""The Jinja environment of all reports: templates hold the sentences, and filters write the numbers.

A template named `….md.j2` is Markdown and is laid out after rendering (see `laid_out`); one named `….txt.j2` is text for
the terminal and is left as it is, without the empty lines at both ends.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sweep.data.duplicates import told
from sweep.data.raw import listed
from sweep.markup import ENTITIES, block, code, escape
from sweep.markup import table as markdown_table
from sweep.report import units
from sweep.report.wording import made

_FENCED = re.compile(r"^(`{3,})[^\n]*\n.*?^\1$", re.MULTILINE | re.DOTALL)
_CONTINUED = re.compile(r"[ \t]*\n[ \t]+(?=\S)")
_SPACES = re.compile(r"(?<=\S)  +(?=\S)")
_EMPTY_LINES = re.compile(r"\n{3,}")
_BARE_PIPE = re.compile(r"(?<!\\)\|")


def render(template: str, **values: object) -> str:
    """Return the text of `templates/TEMPLATE` with these values.

    Raises jinja2.UndefinedError where the template names a value that was not given.
    """
    text = environment().get_template(template).render(**values)
    return laid_out(text) if template.endswith(".md.j2") else text.strip("\n")


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Return the one environment. Nothing is escaped by itself: every text that is not ours passes through `md`."""
    jinja = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    jinja.filters |= {
        "md": escape,
        "code": code,
        "block": block,
        "plain": plain,
        "cell": cell,
        "table": table,
        "bold": bold,
        "bullets": bullets,
        "listing": listing,
        "listed": listed,
        "duplicates": told,
        "yaml": dumped,
        "made": made,
        "searched": searched,
        "aligned": aligned,
        "python": repr,
        "reported": units.reported,
        "p_value": units.p_value,
        "epoch": units.epoch,
        "state": units.state,
        "decimals": units.decimals,
        "score": units.score,
        "signed": units.signed,
        "share": units.share,
        "count": units.count,
        "plural": units.plural,
        "seconds": units.seconds,
        "rate": units.rate,
        "size": units.size,
        "flops": units.flops,
        "value": units.value,
    }
    jinja.globals["missing"] = units.MISSING
    return jinja


def laid_out(markdown: str) -> str:
    """Return the Markdown as it is written to a file; text between code fences stays as it is.

    An indented line continues the line above it, so that a template may break a long sentence. Several spaces become one
    (not in tables, whose cells may be empty), several empty lines one, and empty lines at both ends go.
    """
    parts, start = [], 0
    for fenced in _FENCED.finditer(markdown):
        parts += [_flowing(markdown[start : fenced.start()]), fenced.group()]
        start = fenced.end()
    return "".join([*parts, _flowing(markdown[start:])]).strip("\n")


def plain(text: str) -> str:
    """Return the text as one line of HTML without markup, for the summary of a fold."""
    return " ".join(text.split()).translate(ENTITIES)


def cell(markdown: str) -> str:
    """Return Markdown for one cell of a table: no bare pipe and no line break."""
    return _BARE_PIPE.sub(r"\\|", markdown.replace("\n", " "))


def table(lines: str, sparse: bool = False) -> str:
    """Return the table whose rows are `| cell | cell |` lines, the titles first; columns of numbers are aligned right.

    A `sparse` table leaves out columns in which every value is missing.
    """
    rows = [cells(line) for line in _filled(lines)]
    if sparse:
        columns = [column for column in zip(*rows, strict=True) if set(column[1:]) != {units.MISSING}]
        rows = [list(row) for row in zip(*columns, strict=True)]
    return markdown_table(rows[0], rows[1:]) + "\n"


def bullets(lines: str) -> str:
    """Return a list with an item for each line."""
    return "".join(f"- {line}\n" for line in _filled(lines))


def listing(lines: str, separator: str = ", ") -> str:
    """Return the lines in one, with `separator` between them."""
    return separator.join(_filled(lines))


def searched(one: Any, key: str) -> str:
    """Return what `one.params` has for the key, and what `one.used` has in its place."""
    return units.searched_value(one.params, one.used, key) if key in one.params else units.MISSING


def dumped(value: object) -> str:
    """Return the value as YAML in the order of its keys."""
    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=110))


def aligned(lines: str, *widths: int) -> str:
    """Return lines of cells, `cell | cell`, in columns for a terminal; the titles come first.

    The first columns have these widths, the one after them that of its longest cell; the others, numbers, are aligned
    right.
    """
    rows = [[one.strip() for one in line.split("|")] for line in lines.splitlines() if line.strip()]
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
    found = cells(_CONTINUED.sub(" ", row.strip()))
    return f"| {' | '.join(f'**{one}**' if dashes or one != units.MISSING else one for one in found)} |\n"


def cells(row: str) -> list[str]:
    """Return the cells of a `| cell | cell |` line, without the spaces around them."""
    return [one.strip() for one in _BARE_PIPE.split(row.strip())[1:-1]]


def _filled(lines: str) -> list[str]:
    """Each line with what continues it, without empty ones."""
    joined = _CONTINUED.sub(" ", lines).split("\n")
    return [
        _SPACES.sub(" ", line.strip()) if not line.startswith("|") else line.strip() for line in joined if line.strip()
    ]


def _flowing(text: str) -> str:
    lines = _CONTINUED.sub(" ", text).split("\n")
    kept = (line.rstrip() if line.startswith("|") else _SPACES.sub(" ", line).rstrip() for line in lines)
    return _EMPTY_LINES.sub("\n\n", "\n".join(kept))
