"""Sweeps, workspace views, reports and alerts: lists for the page of a project, and a page for a
sweep and for a report. Panels are listed by name, and not drawn."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from wandb_mock.backend import Backend
from wandb_mock.page import runs
from wandb_mock.page.markup import Cell, cell, link, project_address, run_link, table
from wandb_mock.records import Sweep, View

WORKSPACE, REPORT = "project-view", "runs"
_HEAD = ("name", "state or kind", "runs or panels")


def lists(backend: Backend, entity: str, project: str) -> str:
    """Return the tables of a project's sweeps, views and alerts, with their titles; empty where
    there are none."""
    home = project_address(entity, project)
    rows = [
        [Cell(link(f"{home}/sweeps/{one.name}", one.display_name or one.name)), cell(f"sweep, {one.state.lower()}"),
         cell(len(backend.runs_of_sweep(one)))]
        for one in backend.sweeps_of(entity, project)
    ]  # fmt: skip
    for view in backend.views.of(entity, project):
        kind = {WORKSPACE: "workspace view", REPORT: "report"}.get(view.type, view.type)
        title = view.display_name or view.name
        shown = Cell(link(f"{home}/reports/{view.id}", title))
        rows.append([shown, cell(kind), cell(len(list(_panels(_spec(view)))))])
    reviews = "<h2>Sweeps, views and reports</h2>" + table(_HEAD, rows) if rows else ""
    return reviews + _alerts(backend, entity, project)


def sweep(backend: Backend, shown: Sweep) -> list[str]:
    """Return the parts of the page of a sweep, less its title."""
    members = backend.runs_of_sweep(shown)
    return [
        f"<p>{escape(shown.state.lower())}, {len(members)} run{'' if len(members) == 1 else 's'}</p>",
        runs.tables(members),
        f"<h2>Config</h2><pre>{escape(shown.config)}</pre>",
    ]


def view(shown: View) -> list[str]:
    """Return the parts of the page of a view or a report, less its title: its texts, and the names
    of its panels."""
    spec = _spec(shown)
    texts = [f"<pre>{escape(text)}</pre>" for text in _texts(spec)]
    rows = [[cell(kind), cell(title)] for kind, title in _panels(spec)]
    return [*texts, "<h2>Panels</h2>" + table(("panel", "title"), rows) if rows else ""]


def _alerts(backend: Backend, entity: str, project: str) -> str:
    rows = [
        [Cell(run_link(backend.runs[one.run])), cell(one.level), cell(one.title), cell(one.text), cell(one.created_at)]
        for one in backend.alerts
        if one.run[:2] == (entity, project) and one.run in backend.runs
    ]
    return "<h2>Alerts</h2>" + table(("run", "level", "title", "text", "at"), rows) if rows else ""


def _spec(shown: View) -> Mapping[str, Any]:
    found = json.loads(shown.spec)
    return found if isinstance(found, Mapping) else {}


def _panels(tree: Any) -> Iterator[tuple[str, str]]:
    """Yield the kind and the title of every panel in a spec: an object with a `viewType`."""
    for one in _objects(tree):
        if isinstance(kind := one.get("viewType"), str):
            config = one.get("config")
            title = config.get("chartTitle") or config.get("title") if isinstance(config, Mapping) else ""
            yield kind, str(title or "")


def _texts(tree: Any) -> Iterator[str]:
    """Yield the Markdown of every block of a report."""
    for one in _objects(tree):
        if one.get("type") == "markdown-block" and isinstance(one.get("content"), str):
            yield one["content"]


def _objects(tree: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every object in a spec, the outer ones first."""
    if isinstance(tree, Mapping):
        yield tree
    inside: Sequence[Any] = list(tree.values()) if isinstance(tree, Mapping) else tree if isinstance(tree, list) else ()
    for one in inside:
        yield from _objects(one)
