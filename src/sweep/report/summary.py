"""The report in a few lines, for the terminal."""

from __future__ import annotations

from sweep.analysis.facts import read
from sweep.analysis.study import analyse
from sweep.records.store import Store
from sweep.report.environment import render


def summary_lines(store: Store) -> tuple[str, ...]:
    """Return what a user wants to see at the end of a study. Raises UserError as `write_report`
    does."""
    study = analyse(read(store))
    return tuple(render("study/summary.txt.j2", study=study, report=store.root / "report.html").split("\n"))
