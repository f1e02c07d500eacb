"""The terminal summary of a report, without its figures."""

from __future__ import annotations

from sweep.analysis.facts import read
from sweep.analysis.study import analyse
from sweep.records.store import Store
from sweep.report import summary
from sweep.report.write import Written


def summary_lines(store: Store) -> tuple[str, ...]:
    """Return what the terminal would show of the report of a run directory."""
    facts = read(store)
    return summary.summary_lines(Written(store.root / "report.md", facts, analyse(facts)))
