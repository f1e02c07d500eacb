"""The parts of a report beyond plain Markdown: lists, figures and folds."""

from __future__ import annotations

from collections.abc import Iterable

from sweep.markup import ENTITIES, block, code, escape, join, table

__all__ = ["block", "bullets", "code", "details", "escape", "figure", "join", "table"]


def bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def figure(name: str, caption: str) -> str:
    return f"![{escape(caption)}](figures/{name}.png)"


def details(summary: str, *, body: Iterable[str], unfolded: bool = False) -> str:
    """Return a fold that GitHub and the HTML page both open on a click. `summary` is plain
    text."""
    opening = '<details open="">' if unfolded else "<details>"
    head = f"{opening}\n<summary>{' '.join(summary.split()).translate(ENTITIES)}</summary>"
    return join([head, *body, "</details>"])
