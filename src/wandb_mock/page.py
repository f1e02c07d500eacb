"""What the backend holds, as plain HTML at the addresses that the client prints for projects and runs."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any
from urllib.parse import quote

from wandb_mock import views
from wandb_mock.backend import Backend
from wandb_mock.records import Artifact, Run

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem; } h3 { font-size: 1rem; color: #57606a; }
table { border-collapse: collapse; } .scroll { overflow-x: auto; max-height: 32rem; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid #d8dee4; text-align: left; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
.finished { color: #1a7f37; } .failed, .crashed { color: #b3261e; } .running { color: #9a6700; }
.charts { display: flex; flex-wrap: wrap; gap: 1rem; } figure { margin: 0; } figcaption { font-size: .85rem; }
svg { background: #f6f8fa; } circle { fill: #0550ae; }
polyline { fill: none; stroke: #0550ae; stroke-width: 1.5; }
code { overflow-wrap: anywhere; }
"""

_NUMBER = re.compile(r"-?(\d+(\.\d+)?(e[+-]\d+)?|inf)|nan")

_WIDTH, _HEIGHT, _MARGIN = 300.0, 130.0, 8.0


def render(backend: Backend, parts: Sequence[str]) -> str | None:
    """The page at this path: all there is, a project, or a run; None where there is none."""
    with backend.lock:
        match list(parts):
            case []:
                return _index(backend, backend.projects(), "Mock W&B backend")
            case [entity, project] if (entity, project) in backend.projects():
                return _index(backend, [(entity, project)], f"{entity}/{project}")
            case [entity, project, "runs", run_id] if run := backend.run(entity, project, run_id):
                return _run_page(backend, run)
    return None


def _page(title: str, *body: str) -> str:
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    inside = "\n".join([f"<h1>{escape(title)}</h1>", *(part for part in body if part)])
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n{inside}\n</body></html>\n'


def _index(backend: Backend, projects: Sequence[tuple[str, str]], title: str) -> str:
    sections = [_project(backend, entity, project) for entity, project in projects]
    return _page(title, *(sections or ["<p>Nothing has arrived yet.</p>"]), _unknown(backend), _skipped(backend))


def _project(backend: Backend, entity: str, project: str) -> str:
    runs = sorted(backend.runs_of(entity, project), key=lambda run: run.group)
    groups = [_group(name, list(members)) for name, members in groupby(runs, key=lambda run: run.group)]
    kept = [one for one in backend.artifacts.values() if (one.entity, one.project) == (entity, project)]
    return f"<h2>{escape(entity)}/{escape(project)}</h2>" + "".join(groups) + _artifacts(backend, kept)


def _group(name: str, runs: Sequence[Run]) -> str:
    heads = ("run", "state", "job type", "tags", "rows", "config", "summary")
    rows = [
        [
            _link(_address(run), run.display_name),
            _state(run),
            escape(run.job_type),
            escape(", ".join(run.tags)),
            _number(len(run.history)),
            f"<code>{escape(_brief(run.config))}</code>",
            f"<code>{escape(_brief(run.summary))}</code>",
        ]
        for run in runs
    ]
    return f"<h3>{escape(name or 'no group')}: {len(runs)} runs</h3>" + _table(heads, rows)


def _run_page(backend: Backend, run: Run) -> str:
    facts = {
        "state": _state(run) + ("" if run.exit_code is None else f", exit code {run.exit_code}"),
        "project": _link("/" + "/".join(map(_quoted, run.key[:2])), f"{run.entity}/{run.project}"),
        "id": escape(run.id),
        "group": escape(run.group),
        "job type": escape(run.job_type),
        "tags": escape(", ".join(run.tags)),
        "notes": escape(run.notes),
        "program": escape(run.program),
        "host": escape(run.host),
        "created": escape(run.created_at),
        "last heard of": escape(run.heartbeat_at),
    }
    logged = [one for one in backend.artifacts.values() if run.key in one.logged_by]
    return _page(
        run.display_name,
        _table((), [[f"<b>{name}</b>", value] for name, value in facts.items() if value]),
        "<h2>Config</h2>" + _pairs(run.config),
        "<h2>Summary</h2>" + _pairs(run.summary),
        f"<h2>History: {len(run.history)} rows{_gaps(run)}</h2>",
        _charts(run.history),
        _history(run.history),
        "<h2>Files</h2>" + _files(backend, run),
        _artifacts(backend, logged),
    )


def _gaps(run: Run) -> str:
    missing = run.stream("wandb-history.jsonl").gaps
    return f", {missing} before the last missing" if missing else ""


def _history(rows: Sequence[Mapping[str, Any]]) -> str:
    names = _metrics(rows)
    cells = [[_number(row[name]) if name in row else "" for name in ("_step", *names)] for row in rows]
    return f'<div class="scroll">{_table(("_step", *names), cells)}</div>' if rows else ""


def _metrics(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return sorted({name for row in rows for name in row if not name.startswith("_")})


def _charts(rows: Sequence[Mapping[str, Any]]) -> str:
    charts = [_chart(name, _points(rows, name)) for name in _metrics(rows)]
    return f'<div class="charts">{"".join(charts)}</div>'


def _points(rows: Sequence[Mapping[str, Any]], name: str) -> list[tuple[float, float]]:
    return [
        (x, y)
        for at, row in enumerate(rows)
        if (x := _finite(row.get("_step", at))) is not None and (y := _finite(row.get(name))) is not None
    ]


def _finite(value: Any) -> float | None:
    """None for what has no place on an axis; JSON knows integers that no float holds."""
    try:
        number = float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _chart(name: str, points: Sequence[tuple[float, float]]) -> str:
    if not points:
        return ""
    across = _scaled([x for x, _ in points], _MARGIN, _WIDTH - _MARGIN)
    up = _scaled([y for _, y in points], _HEIGHT - _MARGIN, _MARGIN)
    places = list(zip(across, up, strict=True))
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    shape = f'<polyline points="{line}"/>' if len(points) > 1 else _dot(*places[0])
    values = [y for _, y in points]
    caption = f"<b>{escape(name)}</b>: {min(values):g} to {max(values):g}, last {values[-1]:g}"
    drawing = f'<svg width="{_WIDTH:g}" height="{_HEIGHT:g}" role="img">{shape}</svg>'
    return f"<figure>{drawing}<figcaption>{caption}</figcaption></figure>"


def _dot(x: float, y: float) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>'


def _scaled(values: Sequence[float], start: float, stop: float) -> list[float]:
    low, high = min(values), max(values)
    span = high - low
    return [start + (stop - start) * ((value - low) / span if span else 0.5) for value in values]


def _files(backend: Backend, run: Run) -> str:
    sizes = {name: backend.disk.run_file(run.key, name).stat().st_size for name in backend.run_files(run)}
    rows = [[_link(views.run_file_url("", run, name), name), _number(size)] for name, size in sizes.items()]
    return _table(("file", "bytes"), rows) if rows else "<p>None.</p>"


def _artifacts(backend: Backend, artifacts: Sequence[Artifact]) -> str:
    rows = [
        [
            escape(one.name if one.version is not None else f"{one.collection} (never committed)"),
            escape(one.type),
            escape(", ".join(one.aliases)),
            _artifact_files(backend, one),
            escape(", ".join(run_id for _, _, run_id in one.logged_by)),
        ]
        for one in artifacts
    ]
    heads = ("artifact", "type", "aliases", "files", "logged by")
    return "<h2>Artifacts</h2>" + _table(heads, rows) if rows else ""


def _artifact_files(backend: Backend, artifact: Artifact) -> str:
    files = backend.artifact_files(artifact)
    return "<br>".join(_link(views.artifact_file_url("", birth, name), name) for name, birth in files.items())


def _skipped(backend: Backend) -> str:
    """Records of an earlier process that are malformed."""
    names = "".join(f"<li>{escape(str(path.relative_to(backend.disk.folder)))}</li>" for path in backend.skipped)
    return f"<h2>Records that cannot be read</h2><ul>{names}</ul>" if names else ""


def _unknown(backend: Backend) -> str:
    rows = [[escape(name), _number(count)] for name, count in sorted(backend.unknown_operations.items())]
    title = "<h2>Operations this backend does not know</h2>"
    return title + (_table(("operation", "times"), rows) if rows else "<p>None was asked for.</p>")


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    lines = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>\n" for row in rows)
    return f"<table>{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>\n{lines}</tbody></table>"


def _cell(inside: str) -> str:
    return f'<td class="number">{inside}</td>' if _NUMBER.fullmatch(inside) else f"<td>{inside}</td>"


def _pairs(values: Mapping[str, Any]) -> str:
    shown = {name: value for name, value in sorted(values.items()) if not name.startswith("_")}
    rows = [[escape(name), f"<code>{escape(json.dumps(value))}</code>"] for name, value in shown.items()]
    return _table(("name", "value"), rows) if rows else "<p>Empty.</p>"


def _brief(values: Mapping[str, Any]) -> str:
    shown = {name: value for name, value in sorted(values.items()) if not name.startswith("_")}
    return ", ".join(f"{name}={_plain(value)}" for name, value in shown.items())


def _number(value: Any) -> str:
    return escape(_plain(value))


def _plain(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _state(run: Run) -> str:
    return f'<span class="{run.state}">{run.state}</span>'


def _address(run: Run) -> str:
    return f"/{_quoted(run.entity)}/{_quoted(run.project)}/runs/{_quoted(run.id)}"


def _quoted(part: str) -> str:
    return quote(part, safe="")


def _link(address: str, text: str) -> str:
    return f'<a href="{escape(address)}">{escape(text)}</a>'
