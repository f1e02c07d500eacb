"""Markdown → one HTML page that needs no other file. Only our own folds pass as HTML; all else is
shown as text.

Figures are pictures in the page. Where JavaScript runs, Vega draws them again, as wide as the
screen has room and with a tooltip at each point.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from sweep.analysis.plain import plain
from sweep.report.pictures import Drawn
from sweep.report.plot import CONTAINER, Spec, complete

_FOLD = re.compile(r'<details(?: id="trial-\d+")?(?: open="")?>\n<summary>[^<>]*</summary>\n?|</details>\n?')
_SENTENCE = 50  # characters
REFRESH = 30  # seconds after which the page of a running study loads itself again
_AGAIN = f'<noscript><meta http-equiv="refresh" content="{REFRESH}" /></noscript>\n'  # where no JavaScript runs
_TEMPLATES = Path(__file__).parent / "templates"
_SCRIPT, _STYLE = (_TEMPLATES / "page.js").read_text(), (_TEMPLATES / "page.css").read_text()


def page(markdown: str, *, title: str, drawn: Drawn | None = None, written: datetime | None = None) -> str:
    """Return the whole page. `drawn` holds the figures that the Markdown names; `written` is the
    time of a page that is going to be written again, and so loads itself again."""
    parser = MarkdownIt("commonmark", {"html": True, "xhtmlOut": True}).enable("table")
    for name, rule in _RULES.items():
        parser.add_render_rule(name, rule)
    drawn = drawn or Drawn()
    environment: EnvType = {"drawn": drawn, "specs": []}
    tokens = parser.parse(markdown, environment)
    links = _number_headings(tokens)
    _widen_texts(tokens)
    body = parser.renderer.render(tokens, parser.options, environment)
    menu = "".join(f'<a href="#{anchor}">{escape(words)}</a> ' for anchor, words in links)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8" />\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1" />\n'
        f"{_AGAIN if written else ''}<title>{escape(title)}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n"
        f"<nav>{menu}</nav>\n{body}{_scripts(environment['specs'], drawn.bundle, written)}</body>\n</html>\n"
    )


def _scripts(specs: Sequence[Spec], bundle: str, written: datetime | None) -> str:
    """Return the scripts of the page; empty for one without figures that is not written again."""
    moment = "null" if written is None else str(round(1000 * written.timestamp()))
    values = f"const refresh = {REFRESH}, written = {moment}, specs = {_inert(json.dumps(specs, allow_nan=False))};"
    wanted = ([bundle] if specs else []) + ([values, _SCRIPT] if specs or written else [])
    return "".join(f"<script>\n{_unclosed(code)}\n</script>\n" for code in wanted)


def _unclosed(code: str) -> str:
    """Return JavaScript in which no string ends the script that holds it."""
    return code.replace("</script", "<\\/script")


def _inert(code: str) -> str:
    """Return JSON that no text in it can end as a script."""
    return code.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _number_headings(tokens: Sequence[Token]) -> list[tuple[str, str]]:
    """Give every second-level heading an anchor; returns anchors and words."""
    links: list[tuple[str, str]] = []
    for opening, inline in zip(tokens, tokens[1:], strict=False):
        if opening.type == "heading_open" and opening.tag == "h2":
            anchor = f"section-{len(links) + 1}"
            opening.attrSet("id", anchor)
            links.append((anchor, inline.content))
    return links


def _widen_texts(tokens: Sequence[Token]) -> None:
    """Keep cells with a sentence wide enough to read: on a phone the table scrolls instead."""
    for opening, inline in zip(tokens, tokens[1:], strict=False):
        if opening.type == "td_open" and len(inline.content) > _SENTENCE and " " in inline.content:
            opening.attrSet("class", "long")


def _image(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    """Return a figure: its pictures, and where the specs of its charts stand among `specs`."""
    token, drawn = tokens[index], env["drawn"]
    name = Path(str(token.attrs["src"])).stem
    words = escape(self.renderInlineAsText(token.children, options, env))
    panels, first = drawn.figures[name].panels, len(env["specs"])
    env["specs"] += [plain(complete(panel, width=CONTAINER)) for panel in panels]
    placed = (
        f'<span class="panel{" fluid" if panel.fluid else ""}" data-spec="{first + place}">{picture}</span>'
        for place, (panel, picture) in enumerate(zip(panels, drawn.pictures[name], strict=True))
    )
    kind = "figure" if all(panel.fluid for panel in panels) else "figure fixed"
    return f'<span class="{kind}" role="group" aria-label="{words}">{"".join(placed)}</span>'


def _html_block(_self: RendererHTML, tokens: Sequence[Token], index: int, _options: OptionsDict, _env: EnvType) -> str:
    content = tokens[index].content
    return content if _FOLD.fullmatch(content) else f"<p>{escape(content)}</p>\n"


def _html_inline(_self: RendererHTML, tokens: Sequence[Token], index: int, _options: OptionsDict, _env: EnvType) -> str:
    return escape(tokens[index].content)


def _table_open(_self: RendererHTML, *_: object) -> str:
    return '<div class="scroll"><table>\n'


def _table_close(_self: RendererHTML, *_: object) -> str:
    return "</table></div>\n"


_RULES: dict[str, Any] = {
    "image": _image,
    "html_block": _html_block,
    "html_inline": _html_inline,
    "table_open": _table_open,
    "table_close": _table_close,
}
