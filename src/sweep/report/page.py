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
_STYLE = """
:root { --ink: #1c2430; --soft: #5b6675; --line: #d9dee5; --back: #ffffff; --tint: #f4f6f9; --link: #0072b2; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e3e7ed; --soft: #9aa6b5; --line: #36404d; --back: #14191f; --tint: #1d242d; --link: #56b4e9; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 68rem; color: var(--ink); background: var(--back);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 1rem; }
h2 { font-size: 1.35rem; margin: 2.6rem 0 .8rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1.08rem; margin: 1.8rem 0 .6rem; }
p, ul { max-width: 52rem; }
a { color: var(--link); }
nav { margin: 0 0 1.6rem; font-size: .92rem; line-height: 1.9; }
nav a { margin-right: 1.1rem; white-space: nowrap; text-decoration: none; }
.long { min-width: 15rem; }
.scroll { display: block; overflow-x: auto; margin: .8rem 0 1.2rem; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .32rem .7rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { background: var(--tint); font-weight: 600; }
td[style*="right"], td:first-child { white-space: nowrap; }
code { font: .88em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; background: var(--tint);
  padding: .08em .3em; border-radius: 4px; overflow-wrap: anywhere; }
pre { background: var(--tint); padding: .8rem 1rem; border-radius: 6px; overflow-x: auto; }
pre code { padding: 0; background: none; overflow-wrap: normal; }
.figure { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); gap: 1rem;
  margin: 1rem 0; padding: .6rem; background: #fff; border: 1px solid var(--line); border-radius: 6px; }
p:has(.figure) { max-width: none; }
.figure.fixed { display: flex; flex-wrap: wrap; }
.panel { min-width: 0; overflow-x: auto; }
.panel svg { display: block; }
.fluid > svg { width: 100%; max-width: 36rem; height: auto; }
.late { max-width: none; padding: .6rem .9rem; border: 2px solid #d55e00; border-radius: 6px; font-weight: 600; }
details { margin: .8rem 0; padding: .1rem .9rem; border: 1px solid var(--line); border-radius: 6px; }
summary { cursor: pointer; font-weight: 600; padding: .45rem 0; }
@media print { body { max-width: none; } nav { display: none; } }
"""


REFRESH = 30  # seconds after which the page of a running study loads itself again
_AGAIN = f'<noscript><meta http-equiv="refresh" content="{REFRESH}" /></noscript>\n'  # where no JavaScript runs
_SCRIPT = (Path(__file__).parent / "templates" / "page.js").read_text()


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
        f"{_AGAIN if written else ''}<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
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
