"""The page of one run: facts, searched values, curves, rows, summary, files and the whole
config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wandb_mock.backend import Backend
from wandb_mock.page import columns, curves, stored
from wandb_mock.page.markup import Cell, cell, link, pairs, project_address, scrolling, table
from wandb_mock.page.runs import state_cell
from wandb_mock.records import Run
from wandb_mock.stream_message import HISTORY


def sections(backend: Backend, run: Run) -> list[str]:
    """Return the parts of the page, less its title."""
    logged = [one for one in backend.artifacts.values() if run.key in one.logged_by]
    return [
        _facts(run),
        _searched(run),
        f"<h2>Curves: {len(run.history)} rows{_gaps(run)}</h2>",
        curves.charts(run.history),
        _rows(run.history),
        "<h2>Summary</h2>" + pairs(run.summary),
        "<h2>Files</h2>" + stored.files(backend, run),
        stored.artifacts(backend, logged),
        "<h2>Config</h2>" + pairs(run.config),
    ]


def _facts(run: Run) -> str:
    code = "" if run.exit_code is None else f", exit code {run.exit_code}"
    facts = {
        "state": Cell(state_cell(run).html + code),
        "score": cell(columns.score(run)),
        "project": Cell(link(project_address(run.entity, run.project), f"{run.entity}/{run.project}")),
        "id": cell(run.id),
        "group": cell(run.group),
        "job type": cell(run.job_type),
        "tags": cell(", ".join(run.tags)),
        "notes": cell(run.notes),
        "program": cell(run.program),
        "host": cell(run.host),
        "created": cell(run.created_at),
        "last heard of": cell(run.heartbeat_at),
    }
    return table((), [[Cell(f"<b>{name}</b>"), Cell(value.html)] for name, value in facts.items() if value.html])


def _searched(run: Run) -> str:
    found = columns.searched([run])  # of a single run, those in `params` alone
    rows = [[cell(name), cell(value)] for name, value in zip(found.names, found.values[0], strict=True)]
    return "<h2>Searched values</h2>" + table(("name", "value"), rows) if rows else ""


def _gaps(run: Run) -> str:
    missing = run.stream(HISTORY).gaps
    return f", {missing} before the last missing" if missing else ""


def _rows(rows: Sequence[Mapping[str, Any]]) -> str:
    names = ("_step", *curves.metrics(rows))
    cells = [[cell(row.get(name)) for name in names] for row in rows]
    return f"<details><summary>All rows</summary>{scrolling(table(names, cells))}</details>" if rows else ""
