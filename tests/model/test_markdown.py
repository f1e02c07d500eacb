from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from sweep.model.markdown import block, code, escape, plain, table

NASTY = [
    "a | b",
    "line\nbreak\ttab",
    "<script>alert(1)</script>",
    "`code` and ``more``",
    "*bold* _it_ ~~gone~~ [link](http://x) ![image](y)",
    "&amp; &lt; $x^2$ \\",
    "a\x00b\u2028c",
]


def unescaped(html: str) -> str:
    return html.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")


@pytest.mark.parametrize("text", NASTY)
def test_escaped_text_is_shown_as_it_is(text):
    html = MarkdownIt("commonmark").enable("table").render(table(["text", "n"], [[escape(text), "1"]]))
    expected = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    assert html.count("<td") == 2
    assert f'<td style="text-align:left">{expected}</td>' in unescaped(html)


@pytest.mark.parametrize("text", ["a`b", "``", "a|b", "<i>"])
def test_code_in_a_table(text):
    html = MarkdownIt("commonmark").enable("table").render(table(["text", "n"], [[code(text), "1"]]))
    assert f"<code>{text}</code>" in unescaped(html)


def test_a_block_holds_any_fence():
    html = MarkdownIt("commonmark").render(block("```\nx\n```", "sh"))
    assert "```\nx\n```" in html


def test_columns_of_numbers_are_aligned_right():
    head = table(["name", "n", "share", "mixed"], [["a", "1", "–", "1"], ["b", "**2.5**", "3 %", "x"]]).splitlines()[1]
    assert head == "| :--- | ---: | ---: | :--- |"


def test_a_long_text_is_cut():
    assert escape("word " * 100, 20) == "word word word word…"


def test_a_summary_is_one_line_without_markup():
    assert plain("A <b>\n& c") == "A &lt;b&gt; &amp; c"
