"""The Jinja environment of all reports: templates hold the sentences, and filters write the numbers.

A template named `….md.j2` is Markdown and is laid out after rendering (see `laid_out`); one named `….txt.j2` is text for
the terminal and is left as it is, without the empty lines at both ends.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sweep.markup import ENTITIES, block, code, escape
from sweep.markup import table as markdown_table
from sweep.report import units

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
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    made.filters |= {
        "md": escape,
        "code": code,
        "block": block,
        "plain": plain,
        "cell": cell,
        "table": table,
        "bold": bold,
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
    made.globals["missing"] = units.MISSING
    return made


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


def table(lines: str) -> str:
    """Return the table whose rows are `| cell | cell |` lines, the titles first; columns of numbers are aligned right."""
    rows = [cells(line) for line in _CONTINUED.sub(" ", lines).splitlines() if line.strip()]
    return markdown_table(rows[0], rows[1:]) + "\n"


def bold(row: str, when: object = True, dashes: bool = False) -> str:
    """Return a table's row with every cell in bold; missing values only with `dashes`."""
    if not when:
        return row
    found = cells(_CONTINUED.sub(" ", row.strip()))
    return f"| {' | '.join(f'**{one}**' if dashes or one != units.MISSING else one for one in found)} |\n"


def cells(row: str) -> list[str]:
    """Return the cells of a `| cell | cell |` line, without the spaces around them."""
    return [one.strip() for one in _BARE_PIPE.split(row.strip())[1:-1]]


def _flowing(text: str) -> str:
    lines = _CONTINUED.sub(" ", text).split("\n")
    kept = (line.rstrip() if line.startswith("|") else _SPACES.sub(" ", line).rstrip() for line in lines)
    return _EMPTY_LINES.sub("\n\n", "\n".join(kept))
