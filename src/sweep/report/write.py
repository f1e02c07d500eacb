"""Records → report.md, report.html and figures/, the same bytes for the same records."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

from sweep.config.secrets import scrub
from sweep.records.disk import write_whole
from sweep.records.store import Store
from sweep.report.comparison.write import section
from sweep.report.cost import cost
from sweep.report.experiment import experiment
from sweep.report.facts import Facts, read
from sweep.report.figures import draw
from sweep.report.generalisation import generalisation
from sweep.report.headline import headline
from sweep.report.hyperparameters import hyperparameters
from sweep.report.markdown import join
from sweep.report.page import page
from sweep.report.published import published
from sweep.report.repeat import repeat
from sweep.report.search import search
from sweep.report.selection import selection
from sweep.report.winner import winner


def write_report(store: Store) -> Path:
    """Returns the path of report.md. Works on an unfinished study too, and then says what is missing.

    Raises UserError where the folder is no run directory.
    """
    facts = read(store)
    drawn = draw(facts, store.root / "figures")
    markdown = document(facts, drawn, compared=section(store))
    path = store.root / "report.md"
    write_whole(path, markdown)
    html = page(markdown, title=facts.name, folder=store.root)
    write_whole(store.root / "report.html", html)
    return path


def document(facts: Facts, drawn: Set[str], compared: str = "") -> str:
    """`compared` is the section on the methods of a group run."""
    sections = [
        headline(facts),
        experiment(facts),
        search(facts, drawn),
        hyperparameters(facts, drawn),
        selection(facts),
        winner(facts, drawn),
        generalisation(facts, drawn),
        compared,
        cost(facts),
        published(facts),
        repeat(facts),
    ]
    return scrub(join(sections)) + "\n"
