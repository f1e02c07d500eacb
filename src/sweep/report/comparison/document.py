"""The comparison in words, tables and figures: as a page of its own, or as a section of a group run's report."""

from __future__ import annotations

from collections.abc import Sequence

from sweep.config.secrets import scrub
from sweep.report.comparison.comparison import Comparison
from sweep.report.comparison.costs import costs, parameters
from sweep.report.comparison.findings import findings
from sweep.report.comparison.misses import misses
from sweep.report.comparison.overview import intervals, overview
from sweep.report.comparison.paired import paired
from sweep.report.comparison.reported import reported
from sweep.report.comparison.settings import settings
from sweep.report.markdown import code, escape, figure, join, table

_CAPTIONS = {
    "scores": "Test scores with 95 % intervals",
    "curves": "Each winner's retraining, its best evaluation outlined",
    "pareto": "Quality against cost: filled markers are in the Pareto set",
}


def document(comparison: Comparison, drawn: Sequence[str]) -> str:
    """A whole page. `drawn` are the names of figures, PREFIX-NAME."""
    names = ", ".join(escape(one.name) for one in comparison.contestants)
    parts = [
        f"# Compared: {names}",
        findings(comparison),
        *_parts(comparison, drawn, "##"),
        "## Where",
        _places(comparison),
    ]
    return scrub(join(parts)) + "\n"


def chapter(comparison: Comparison, drawn: Sequence[str]) -> str:
    """A second-level section."""
    return scrub(join(["## Methods compared", findings(comparison), *_parts(comparison, drawn, "###")]))


def _parts(comparison: Comparison, drawn: Sequence[str], level: str) -> list[str]:
    pictures = {name.rpartition("-")[2]: figure(name, _CAPTIONS[name.rpartition("-")[2]]) for name in drawn}
    bodies = {
        "Scores side by side": overview(comparison),
        "On the test split, with intervals": join([intervals(comparison), pictures.get("scores", "")]),
        "Which differences are real": paired(comparison),
        "How they learnt": pictures.get("curves", ""),
        "Parameters, and what is worth its cost": join([parameters(comparison), pictures.get("pareto", "")]),
        "What they cost": costs(comparison),
        "How they were made": settings(comparison),
        "Published beside compared": reported(comparison),
        "Where they fail": misses(comparison),
    }
    return [part for title, body in bodies.items() if body for part in (f"{level} {title}", body)]


def _places(comparison: Comparison) -> str:
    # Where the test scores are: a refit has a run of its own.
    rows = [
        [escape(one.name), code(str(one.folder)), _run((one.final.refit or one.final).tracker_run)]
        for one in comparison.contestants
    ]
    return table(["method", "record, predictions, model", "tracked run"], rows)


def _run(address: str) -> str:
    return code(address) if address else "–"
