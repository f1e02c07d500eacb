"""Records → report.md, report.html and figures/, the same bytes for the same records."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sweep.analysis.charts import charts
from sweep.analysis.facts import Facts, read
from sweep.analysis.study import Study, analyse
from sweep.config.secrets import scrub
from sweep.records.disk import write_whole
from sweep.records.store import Store
from sweep.report.comparison.figures import FIGURES as COMPARED
from sweep.report.comparison.write import PREFIX, section
from sweep.report.environment import render
from sweep.report.figures import FIGURES, figures
from sweep.report.page import page
from sweep.report.pictures import draw

_KNOWN = (*FIGURES, *(f"{PREFIX}-{name}" for name in COMPARED))


@dataclass(frozen=True, slots=True)
class Written:
    """A report on the disk: the path of report.md, the records that it is of, and what it says of
    them."""

    path: Path
    facts: Facts
    study: Study


def write_report(store: Store, *, running: bool | None = None) -> Written:
    """Write the report. Return its path with the records and the analysis. An unfinished study has
    one too, which says what is missing.

    `running` says whether the study is running; None finds out whether a process holds the run
    directory. Raises UserError where the folder is no run directory.
    """
    facts = read(store, running=running)
    study, compared = analyse(facts), section(store)
    made = figures(charts(facts, study.hyperparameters)) | dict(compared.figures)
    drawn = draw(made, store.root / "figures", _KNOWN)
    written = datetime.now(UTC) if study.state == "running" else None
    text = compared.text(drawn.pictures)
    markdown = document(study, drawn.pictures, compared=text, undrawn=drawn.fault, written=written)
    path = store.root / "report.md"
    write_whole(path, markdown)
    write_whole(store.root / "report.html", page(markdown, title=title(study), drawn=drawn, written=written))
    return Written(path, facts, study)


def title(study: Study) -> str:
    """Return the title of the page, with the standing of a study that has not ended."""
    counted = f"{study.progress.counted} of {study.progress.planned}"
    return study.name if study.state == "finished" else f"{study.name}: {study.state}, {counted}"


def document(
    study: Study,
    drawn: Collection[str],
    *,
    compared: str = "",
    undrawn: str = "",
    written: datetime | None = None,
) -> str:
    """Return the report as Markdown. `drawn` names the figures there are, `undrawn` is the reason
    why there is none; `compared` is the section on the choices of a group run. `written` is the
    time of a report that is going to be written again."""
    values = {"study": study, "drawn": drawn, "compared": compared, "undrawn": undrawn, "written": written}
    return scrub(render("study/report.md.j2", **values)) + "\n"
