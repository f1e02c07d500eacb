"""The table of runs, one for each group of a project."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby

from wandb_mock.page import columns, curves
from wandb_mock.page.markup import Cell, cell, run_link, scrolling, table
from wandb_mock.records import Run


def tables(runs: Sequence[Run]) -> str:
    """Return a table that sorts for each group of `runs`."""
    by_group = groupby(sorted(runs, key=lambda run: run.group), key=lambda run: run.group)
    return "".join(_group(name, list(members)) for name, members in by_group)


def state_cell(run: Run) -> Cell:
    """Return the state of a run, coloured by the state that W&B gives it."""
    return Cell(f'<span class="{run.state}">{escape(columns.state(run))}</span>')


def _group(name: str, runs: Sequence[Run]) -> str:
    searched = columns.searched(runs)
    pictures = [curves.spark(run.history, columns.objective(run)) for run in runs]
    curve = ["curve"] if any(pictures) else []
    heads = ("run", "job type", "state", "score", *columns.short_names(searched.names), *curve, "rows", "tags")
    rows = [
        [
            Cell(run_link(run)),
            cell(run.job_type),
            state_cell(run),
            cell(columns.score(run)),
            *map(cell, values),
            *([Cell(picture)] if curve else []),
            cell(len(run.history)),
            cell(", ".join(run.tags)),
        ]
        for run, values, picture in zip(runs, searched.values, pictures, strict=True)
    ]
    count = f"{len(runs)} run{'' if len(runs) == 1 else 's'}"
    return f"<h3>{escape(name or 'no group')}: {count}</h3>" + scrolling(table(heads, rows, sortable=True))
