"""A whole HTML document: the page at an address, with its style and its script. Nothing is loaded
from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from importlib.resources import files

from wandb_mock.backend import Backend
from wandb_mock.page import review, run, runs, stored
from wandb_mock.page.markup import cell, table

_STYLE = (files("wandb_mock.page") / "page.css").read_text(encoding="utf-8")
_SCRIPT = (files("wandb_mock.page") / "sort.js").read_text(encoding="utf-8")

# The value of the header Content-Security-Policy: no script runs but the page's own, whatever a
# run's texts hold.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; "
    f"script-src 'sha256-{base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()}'"
)


def render(backend: Backend, parts: Sequence[str]) -> str | None:
    """Return the page at an address, given as its unquoted parts; None where there is no such
    page.

    The addresses are those that the client prints: `/`, `/ENTITY/PROJECT`,
    `/ENTITY/PROJECT/runs/ID`, `/ENTITY/PROJECT/sweeps/ID` and
    `/ENTITY/PROJECT/reports/TITLE--ID`.
    """
    with backend.lock:
        match list(parts):
            case []:
                return _index(backend, backend.projects(), "Mock W&B server")
            case [entity, project] if (entity, project) in backend.projects():
                return _index(backend, [(entity, project)], f"{entity}/{project}")
            case [entity, project, "runs", run_id] if found := backend.run(entity, project, run_id):
                return _document(found.display_name, run.sections(backend, found))
            case [entity, project, "sweeps", name] if sweep := backend.sweeps.get(name):
                if (sweep.entity, sweep.project) == (entity, project):
                    return _document(sweep.display_name or name, review.sweep(backend, sweep))
            case [entity, project, "reports", name]:
                # The client leaves out the padding of an id.
                found_views = backend.views.of(entity, project)
                wanted = name.rpartition("--")[2].rstrip("=")
                if view := next((one for one in found_views if one.id.rstrip("=") == wanted), None):
                    return _document(view.display_name or view.name, review.view(view))
    return None


def _document(title: str, sections: Sequence[str]) -> str:
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    inside = "\n".join([f"<h1>{escape(title)}</h1>", *(part for part in sections if part)])
    body = f"<body>\n{inside}\n<script>{_SCRIPT}</script></body>"
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n{body}</html>\n'


def _index(backend: Backend, projects: Sequence[tuple[str, str]], title: str) -> str:
    sections = [_project(backend, entity, project, title) for entity, project in projects]
    return _document(title, [*(sections or ["<p>Nothing has arrived yet.</p>"]), _unknown(backend), _skipped(backend)])


def _project(backend: Backend, entity: str, project: str, title: str) -> str:
    """Return the runs, the artifacts and what reviews them of a project, under its name where the
    page has another title."""
    name = f"{entity}/{project}"
    kept = [one for one in backend.artifacts.values() if (one.entity, one.project) == (entity, project)]
    tables = runs.tables(backend.runs_of(entity, project))
    heading = f"<h2>{escape(name)}</h2>" if name != title else ""
    return heading + tables + review.lists(backend, entity, project) + stored.artifacts(backend, kept)


def _unknown(backend: Backend) -> str:
    rows = [[cell(name), cell(count)] for name, count in sorted(backend.unknown_operations.items())]
    title = "<h2>Operations that the server does not know</h2>"
    return title + (table(("operation", "times"), rows) if rows else "<p>None was asked for.</p>")


def _skipped(backend: Backend) -> str:
    """Return the list of records that an earlier process left and that cannot be read."""
    names = "".join(f"<li>{escape(str(path.relative_to(backend.disk.folder)))}</li>" for path in backend.skipped)
    return f"<h2>Records that cannot be read</h2><ul>{names}</ul>" if names else ""
