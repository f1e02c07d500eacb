"""The operations by which `wandb.Api()` reads projects, runs, their rows and their files."""

from __future__ import annotations

import json
import re

from wandb_mock.backend import ENTITY
from wandb_mock.graphql import history, nodes
from wandb_mock.graphql.call import JSON, Call, Operation, parsed
from wandb_mock.graphql.filters import ordered, selected
from wandb_mock.records import now


def _runs(call: Call) -> JSON:
    given = call.variables
    condition = parsed(given.get("filters")) or {}
    chosen = selected(call.backend.runs_of(*call.home), condition)
    chosen = ordered(chosen, given.get("order") or "+created_at")
    heavy = "summaryMetrics" in call.query
    found = [nodes.run_node(run, heavy=heavy) for run in chosen]
    runs = nodes.connection(found, given.get("perPage"), given.get("cursor"))
    return call.project(runs=runs, runCount=len(found))


def _run(call: Call) -> JSON:
    return call.project(run=call.run and nodes.run_node(call.run))


def _run_files(call: Call) -> JSON:
    run = call.run
    if run is None:
        return call.project(run=None)
    given = call.variables
    names = [name for name in call.backend.run_files(run) if _wanted(name, given)]
    found = [nodes.run_file_node(call.backend, call.url, run, name) for name in names]
    files = nodes.connection(found, given.get("fileLimit"), given.get("fileCursor"))
    return call.project(run={"fileCount": len(found), "files": files})


def _wanted(name: str, given: JSON) -> bool:
    if pattern := given.get("pattern"):
        return re.fullmatch(re.escape(pattern).replace("%", ".*").replace("_", "."), name) is not None
    return name in given["fileNames"] if given.get("fileNames") else True


def _run_full_history(call: Call) -> JSON:
    run = call.run
    if run is None:
        return call.project(run=None)
    samples = call.variables.get("samples")
    both = (run.history, run.events)
    rows, events = ([json.dumps(row) for row in history.sampled(each, samples)] for each in both)
    return call.project(run={"history": rows, "events": events})


def _history_page(call: Call) -> JSON:
    given = call.variables
    rows = history.between(call.history, given.get("minStep"), given.get("maxStep"))[: given.get("pageSize")]
    return call.project(run=call.run and {"history": [json.dumps(row) for row in rows]})


def _sampled_history(call: Call) -> JSON:
    specs = [json.loads(spec) for spec in call.variables.get("specs") or [call.variables["spec"]]]
    return call.project(run=call.run and {"sampledHistory": [history.specified(call.history, spec) for spec in specs]})


def _run_parquet_history(call: Call) -> JSON:
    """Nothing was exported to Parquet files, so the client reads all of the history live."""
    return call.project(run=call.run and {"parquetHistory": {"parquetUrls": [], "liveData": []}})


def _projects(call: Call) -> JSON:
    entity = call.variables.get("entity") or ENTITY
    found = [_project_node(call, *home) for home in call.backend.projects() if home[0] == entity]
    return {"models": nodes.connection(found, call.variables.get("perPage"), call.variables.get("cursor"))}


def _project(call: Call) -> JSON:
    home = (call.variables.get("entity") or ENTITY, call.variables["name"])
    return {"project": _project_node(call, *home) if home in call.backend.projects() else None}


def _project_node(call: Call, entity: str, project: str) -> JSON:
    started = [run.created_at for run in call.backend.runs_of(entity, project)]
    return nodes.project_node(entity, project) | {"createdAt": min(started, default=now())}


OPERATIONS: dict[str, Operation] = {
    "Runs": _runs,
    "Run": _run,
    "RunState": _run,
    "RunHistoryKeys": _run,
    "RunFiles": _run_files,
    "RunFullHistory": _run_full_history,
    "RunSampledHistory": _sampled_history,
    "SampledHistoryPage": _sampled_history,
    "HistoryPage": _history_page,
    "RunParquetHistory": _run_parquet_history,
    "GetProjects": _projects,
    "GetProject": _project,
}
