"""Comparison → compare.md, compare.html, comparison.json and figures/."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sweep.analysis.comparison.charts import charts
from sweep.analysis.comparison.comparison import Comparison, compare
from sweep.analysis.comparison.methods import Entry
from sweep.analysis.comparison.plain import plain
from sweep.errors import UserError
from sweep.model.markdown import escape
from sweep.records.disk import write_whole
from sweep.records.migrations import stamped
from sweep.records.store import Store
from sweep.report.comparison.document import chapter, document
from sweep.report.comparison.figures import figures
from sweep.report.layout import bullets
from sweep.report.page import page
from sweep.report.pictures import draw
from sweep.report.plot import Figure

PREFIX = "methods"  # of the figures of a group run


def write(comparison: Comparison, folder: Path) -> tuple[Path, ...]:
    """Write the page, its Markdown and its plain values, and return the files.

    The same records give the same bytes.
    """
    made = figures(charts(comparison), "compare")
    drawn = draw(made, folder / "figures", made)
    markdown = document(comparison, tuple(drawn.pictures))
    files = (folder / "compare.html", folder / "compare.md", folder / "comparison.json")
    title = "Compared: " + ", ".join(one.name for one in comparison.methods)
    write_whole(files[0], page(markdown, title=title, drawn=drawn))
    write_whole(files[1], markdown)
    values = json.dumps(stamped(plain(comparison)), indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(files[2], values + "\n")
    return files


@dataclass(frozen=True, slots=True)
class Section:
    """The comparison of a group run's methods: its figures by name, and its text, which is made
    once it is known which of them are drawn."""

    figures: Mapping[str, Figure] = field(default_factory=dict)
    text: Callable[[Collection[str]], str] = lambda _: ""


def section(store: Store) -> Section:
    """Return the comparison as a section of a report; one without text where the study compared
    nothing, or is not finished."""
    if store.final() is None or len(store.finals()) < 2:
        return Section()
    try:
        comparison = compare([Entry(store.root)])
    except UserError as error:
        # The rest of the report has been paid for: it does not fall with this part.
        reasons = bullets("\n".join(escape(str(fault)) for fault in error.faults)).rstrip()
        said = f"## Methods compared\n\nThey could not be compared:\n\n{reasons}"
        return Section(text=lambda _: said)
    made = figures(charts(comparison), PREFIX)
    return Section(made, lambda drawn: chapter(comparison, [name for name in made if name in drawn]))
