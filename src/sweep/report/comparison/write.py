"""Comparison → compare.md, compare.html, comparison.json and figures/."""

from __future__ import annotations

import json
from pathlib import Path

from sweep.analysis.comparison.charts import charts
from sweep.analysis.comparison.comparison import Comparison, compare
from sweep.analysis.comparison.contestants import Entry
from sweep.analysis.comparison.plain import plain
from sweep.errors import UserError
from sweep.model.markdown import escape
from sweep.records.disk import write_whole
from sweep.records.migrations import stamped
from sweep.records.store import Store
from sweep.report.comparison.document import chapter, document
from sweep.report.comparison.figures import draw
from sweep.report.layout import bullets
from sweep.report.page import page


def write(comparison: Comparison, folder: Path) -> tuple[Path, ...]:
    """Write the page, its Markdown and its plain values, and return the files.

    The same records give the same bytes.
    """
    drawn = draw(charts(comparison), folder / "figures", "compare")
    markdown = document(comparison, drawn)
    files = (folder / "compare.html", folder / "compare.md", folder / "comparison.json")
    title = "Compared: " + ", ".join(one.name for one in comparison.contestants)
    write_whole(files[0], page(markdown, title=title, folder=folder))
    write_whole(files[1], markdown)
    values = json.dumps(stamped(plain(comparison)), indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(files[2], values + "\n")
    return files


def section(store: Store) -> str:
    """Return the comparison of a group run's methods as a section of its report, its figures
    beside the report's own. Empty where the study compared nothing, or is not finished."""
    if store.final() is None or len(store.finals()) < 2:
        return ""
    try:
        comparison = compare([Entry(store.root)])
    except UserError as error:
        # The rest of the report has been paid for: it does not fall with this part.
        reasons = bullets("\n".join(escape(str(fault)) for fault in error.faults))
        return f"## Methods compared\n\nThey could not be compared:\n\n{reasons.rstrip()}"
    return chapter(comparison, draw(charts(comparison), store.root / "figures", "methods"))
