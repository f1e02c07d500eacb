"""Records → report.md, report.html and figures/, the same bytes for the same records."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

from sweep.analysis.charts import charts
from sweep.analysis.facts import read
from sweep.analysis.study import Study, analyse
from sweep.config.secrets import scrub
from sweep.records.disk import write_whole
from sweep.records.store import Store
from sweep.report.comparison.write import section
from sweep.report.environment import render
from sweep.report.figures import draw
from sweep.report.page import page


def write_report(store: Store) -> Path:
    """Write the report and return the path of report.md. An unfinished study has one too, which
    says what is missing.

    Raises UserError where the folder is no run directory.
    """
    facts = read(store)
    drawn = draw(charts(facts), store.root / "figures")
    markdown = document(analyse(facts), drawn, compared=section(store))
    path = store.root / "report.md"
    write_whole(path, markdown)
    html = page(markdown, title=facts.name, folder=store.root)
    write_whole(store.root / "report.html", html)
    return path


def document(study: Study, drawn: Set[str], compared: str = "") -> str:
    """Return the report as Markdown. `drawn` names the figures there are; `compared` is the
    section on the choices of a group run."""
    return scrub(render("study/report.md.j2", study=study, drawn=drawn, compared=compared)) + "\n"
