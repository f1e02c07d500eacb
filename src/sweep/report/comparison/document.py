"""The comparison as Markdown: as a page of its own, or as a section of a group run's report."""

from __future__ import annotations

from collections.abc import Sequence

from sweep.analysis.comparison.comparison import ALPHA, Comparison
from sweep.analysis.comparison.costs import costs, devices, parameters
from sweep.analysis.comparison.failures import failures
from sweep.analysis.comparison.findings import findings
from sweep.analysis.comparison.published import published
from sweep.analysis.comparison.scores import fresh_seeds, overview
from sweep.analysis.comparison.settings import settings
from sweep.analysis.comparison.significance import EXACT_BELOW
from sweep.config.secrets import scrub
from sweep.report.environment import render

_NAMED = 4  # pairs named in a sentence; the table has all
_ROWS = 10  # rows shown of each kind of failure
_CUT = 200  # characters of a text shown


def document(comparison: Comparison, drawn: Sequence[str]) -> str:
    """Return a whole page. `drawn` are the names of figures, PREFIX-NAME."""
    return _rendered(comparison, drawn, "##") + "\n"


def chapter(comparison: Comparison, drawn: Sequence[str]) -> str:
    """Return a second-level section."""
    return _rendered(comparison, drawn, "###")


def _rendered(comparison: Comparison, drawn: Sequence[str], level: str) -> str:
    text = render(
        "comparison/report.md.j2",
        comparison=comparison,
        method_names=[one.name for one in comparison.methods],
        level=level,
        pictures={name.rpartition("-")[2]: name for name in drawn},
        findings=findings(comparison),
        overview=overview(comparison),
        fresh_seeds=fresh_seeds(comparison),
        parameters=parameters(comparison),
        costs=costs(comparison),
        devices=devices(comparison),
        settings=settings(comparison),
        published=published(comparison),
        failures=failures(comparison),
        alpha=ALPHA,
        exact_below=EXACT_BELOW,
        named=_NAMED,
        most=_ROWS,
        cut=_CUT,
    )
    return scrub(text)
