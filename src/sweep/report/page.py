"""Markdown → one HTML page that needs no other file. Only our own folds pass as HTML; all else is
shown as text."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

_FOLD = re.compile(r'<details(?: open="")?>\n<summary>[^<>]*</summary>\n?|</details>\n?')
_SENTENCE = 50  # characters
_LARGE = 1300  # pixels from which a picture scrolls: shrunk to the page, its letters could not be read
_STYLE = """
:root { --ink: #1c2430; --soft: #5b6675; --line: #d9dee5; --back: #ffffff; --tint: #f4f6f9; --link: #0072b2; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e3e7ed; --soft: #9aa6b5; --line: #36404d; --back: #14191f; --tint: #1d242d; --link: #56b4e9; }
  img { background: #fff; border-radius: 6px; }
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
img { max-width: 100%; height: auto; display: block; margin: 1rem 0; }
img.large { max-width: none; }
details { margin: .8rem 0; padding: .1rem .9rem; border: 1px solid var(--line); border-radius: 6px; }
summary { cursor: pointer; font-weight: 600; padding: .45rem 0; }
@media print { body { max-width: none; } nav { display: none; } }
"""


def page(markdown: str, *, title: str, folder: Path) -> str:
    """Return the whole page. Pictures are read from `folder` and put inside it."""
    parser = MarkdownIt("commonmark", {"html": True, "xhtmlOut": True}).enable("table")
    for name, rule in _RULES.items():
        parser.add_render_rule(name, rule)
    environment: EnvType = {"folder": folder}
    tokens = parser.parse(markdown, environment)
    links = _number_headings(tokens)
    _widen_texts(tokens)
    body = parser.renderer.render(tokens, parser.options, environment)
    menu = "".join(f'<a href="#{anchor}">{escape(words)}</a> ' for anchor, words in links)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8" />\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1" />\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<nav>{menu}</nav>\n{body}</body>\n</html>\n"
    )


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
    token = tokens[index]
    path = env["folder"] / str(token.attrs["src"])
    content = path.read_bytes()
    words = self.renderInlineAsText(token.children, options, env)
    picture = f'alt="{escape(words)}" src="data:image/png;base64,{base64.b64encode(content).decode()}" />'
    width = int.from_bytes(content[16:20], "big")  # where a PNG has it
    return f'<span class="scroll"><img class="large" {picture}</span>' if width > _LARGE else f"<img {picture}"


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
