"""Tables of the files and artifacts that the server has, as downloads."""

from __future__ import annotations

from collections.abc import Sequence

from wandb_mock.addresses import artifact_file_url, run_file_url
from wandb_mock.backend import Backend
from wandb_mock.page.markup import Cell, cell, link, table
from wandb_mock.records import Artifact, Run


def files(backend: Backend, run: Run) -> str:
    """Return the table of a run's files."""
    sizes = {name: backend.disk.run_file(run.key, name).stat().st_size for name in backend.run_files(run)}
    rows = [[Cell(link(run_file_url("", run, name), name)), cell(size)] for name, size in sizes.items()]
    return table(("file", "bytes"), rows) if rows else "<p>None.</p>"


def artifacts(backend: Backend, shown: Sequence[Artifact]) -> str:
    """Return the table of artifacts, with its title; empty where there are none."""
    rows = [
        [
            cell(one.name if one.version is not None else f"{one.collection} (never committed)"),
            cell(one.type),
            cell(", ".join(one.aliases)),
            Cell(_artifact_files(backend, one)),
            cell(", ".join(run_id for _, _, run_id in one.logged_by)),
        ]
        for one in shown
    ]
    heads = ("artifact", "type", "aliases", "files", "logged by")
    return "<h2>Artifacts</h2>" + table(heads, rows) if rows else ""


def _artifact_files(backend: Backend, artifact: Artifact) -> str:
    found = backend.artifact_files(artifact).items()
    return "<br>".join(link(artifact_file_url("", birth, name), name) for name, birth in found)
