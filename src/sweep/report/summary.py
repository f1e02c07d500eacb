"""The report in a few lines, for the terminal."""

from __future__ import annotations

from sweep.report.environment import render
from sweep.report.write import Written


def summary_lines(written: Written) -> tuple[str, ...]:
    """Return what a user wants to see at the end of a study, of the report that was written."""
    report = written.path.with_suffix(".html")
    return tuple(render("study/summary.txt.j2", study=written.study, report=report).split("\n"))
