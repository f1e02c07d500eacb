"""The GraphQL operations, told apart by name alone: the client's own queries are the schema."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from typing import Any

from wandb_mock import graphql_artifacts, views
from wandb_mock.backend import ENTITY, PROJECT, Backend
from wandb_mock.call import JSON, Call
from wandb_mock.filters import UnknownFilterError, ordered, selected
from wandb_mock.records import Run, Sweep, now

_NAMED = re.compile(r"\b(?:query|mutation|subscription)\s+(\w+)")


def operation_name(request: JSON) -> str:
    """The public API sends no operation name beside its query, so the query has to tell it."""
    found = _NAMED.search(str(request.get("query") or ""))
    return str(request.get("operationName") or (found and found[1]) or "unnamed")


def answer(backend: Backend, url: str, request: JSON) -> JSON:
    """The answer to a GraphQL request; an unknown operation is counted and answered with an error."""
    name = operation_name(request)
    call = Call(backend, url, request.get("query") or "", request.get("variables") or {})
    operation = _OPERATIONS.get(name)
    if operation is None:
        backend.count_unknown(name)
        return _error(f"the mock backend does not know the operation {name!r}")
    try:
        with backend.lock:
            return {"data": operation(call)}
    except (UnknownFilterError, LookupError, ValueError, TypeError, AttributeError, RecursionError) as error:
        return _error(f"{name}: {error}")


def _error(message: str) -> JSON:
    return {"data": None, "errors": [{"message": message}]}


# who, and what this server can do


def _viewer(_: Call) -> JSON:
    return {"viewer": views.viewer()}


def _server_features(_: Call) -> JSON:
    """None: the client then keeps to what it has always done."""
    return {"serverInfo": {"features": []}}


def _organization(_: Call) -> JSON:
    """None: asked about by the machine metrics, for clusters that have some of their own."""
    return {"entity": {"organization": None}}


# a run's own operations


def _upsert_bucket(call: Call) -> JSON:
    """Start a run or change it. The client leaves out, as null, what is to stay."""
    given = call.variables
    if given.get("name"):
        run, inserted = call.backend.ensure_run(given.get("entity"), given.get("project"), given["name"])
    else:
        run, inserted = _by_storage_id(call), False
    # A start names the host and no id: a later update has an id, and from some clients the host again.
    if given.get("host") and not given.get("id"):
        call.backend.start_anew(run)
    changes = {
        "display_name": given.get("displayName", given.get("display_name")),
        "group": given.get("groupName"),
        "job_type": given.get("jobType"),
        "raw_config": _parsed(given.get("config")),
        "summary": _parsed(given.get("summaryMetrics")),
    }
    plain = {name: given.get(name) for name in ("tags", "notes", "sweep", "host", "program", "commit", "repo")}
    call.backend.update_run(run, changes | plain)
    return {"upsertBucket": {"bucket": views.run_node(run), "inserted": inserted}}


def _by_storage_id(call: Call) -> Run:
    run = call.backend.run_by_storage_id(call.variables.get("id") or "")
    if run is None:
        raise LookupError("no such run")
    return run


def _parsed(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _run_resume_status(call: Call) -> JSON:
    run = call.run
    if run:
        call.backend.expect_resume(run)
    return {"model": views.project_node(*call.home) | {"bucket": run and views.resume_node(run)}}


def _create_run_files(call: Call) -> JSON:
    run, _ = call.backend.ensure_run(call.variables.get("entity"), call.variables.get("project"), call.variables["run"])
    files = [{"name": name, "uploadUrl": views.run_file_url(call.url, run, name)} for name in call.variables["files"]]
    return {"createRunFiles": {"runID": run.storage_id, "uploadHeaders": [], "files": files}}


def _run_stop_status(call: Call) -> JSON:
    return call.project(run=call.run and {"shouldStop": False})


# reading


def _runs(call: Call) -> JSON:
    given = call.variables
    condition = _parsed(given.get("filters")) or {}
    chosen = selected(call.backend.runs_of(*call.home), condition)
    chosen = ordered(chosen, given.get("order") or "+created_at")
    heavy = "summaryMetrics" in call.query
    nodes = [views.run_node(run, heavy=heavy) for run in chosen]
    runs = views.connection(nodes, given.get("perPage"), given.get("cursor"))
    return call.project(runs=runs, runCount=len(nodes))


def _run(call: Call) -> JSON:
    return call.project(run=call.run and views.run_node(call.run))


def _run_files(call: Call) -> JSON:
    run = call.run
    if run is None:
        return call.project(run=None)
    given = call.variables
    names = [name for name in call.backend.run_files(run) if _wanted(name, given)]
    nodes = [views.run_file_node(call.backend, call.url, run, name) for name in names]
    files = views.connection(nodes, given.get("fileLimit"), given.get("fileCursor"))
    return call.project(run={"fileCount": len(nodes), "files": files})


def _wanted(name: str, given: JSON) -> bool:
    if pattern := given.get("pattern"):
        return re.fullmatch(re.escape(pattern).replace("%", ".*").replace("_", "."), name) is not None
    return name in given["fileNames"] if given.get("fileNames") else True


def _run_full_history(call: Call) -> JSON:
    run = call.run
    if run is None:
        return call.project(run=None)
    samples = call.variables.get("samples")
    history, events = ([json.dumps(row) for row in views.sampled(rows, samples)] for rows in (run.history, run.events))
    return call.project(run={"history": history, "events": events})


def _history_page(call: Call) -> JSON:
    given = call.variables
    rows = views.between(call.history, given.get("minStep"), given.get("maxStep"))[: given.get("pageSize")]
    return call.project(run=call.run and {"history": [json.dumps(row) for row in rows]})


def _sampled_history(call: Call) -> JSON:
    specs = [json.loads(spec) for spec in call.variables.get("specs") or [call.variables["spec"]]]
    return call.project(run=call.run and {"sampledHistory": [views.specified(call.history, spec) for spec in specs]})


def _run_parquet_history(call: Call) -> JSON:
    """Nothing was exported to Parquet files, so the client reads all of the history live."""
    return call.project(run=call.run and {"parquetHistory": {"parquetUrls": [], "liveData": []}})


def _projects(call: Call) -> JSON:
    entity = call.variables.get("entity") or ENTITY
    nodes = [_project_node(call, *home) for home in call.backend.projects() if home[0] == entity]
    return {"models": views.connection(nodes, call.variables.get("perPage"), call.variables.get("cursor"))}


def _project(call: Call) -> JSON:
    home = (call.variables.get("entity") or ENTITY, call.variables["name"])
    return {"project": _project_node(call, *home) if home in call.backend.projects() else None}


def _project_node(call: Call, entity: str, project: str) -> JSON:
    started = [run.created_at for run in call.backend.runs_of(entity, project)]
    return views.project_node(entity, project) | {"createdAt": min(started, default=now())}


# sweeps


def _upsert_sweep(call: Call) -> JSON:
    given = call.variables
    sweep = next((one for one in call.backend.sweeps.values() if one.id == given.get("id")), None)
    sweep = sweep or Sweep(given.get("entityName") or ENTITY, given.get("projectName") or PROJECT, secrets.token_hex(4))
    sweep.config = given.get("config") or sweep.config
    sweep.description = given.get("description") or sweep.description
    sweep.display_name = given.get("displayName") or sweep.display_name
    sweep.state = given.get("state") or sweep.state
    call.backend.keep_sweep(sweep)
    return {"upsertSweep": {"sweep": _sweep_node(call, sweep), "configValidationWarnings": []}}


def _sweep(call: Call) -> JSON:
    sweep = call.backend.sweeps.get(call.variables["name"])
    here = sweep is not None and (sweep.entity, sweep.project) == call.home
    return call.project(sweep=_sweep_node(call, sweep) if sweep and here else None)


def _sweep_node(call: Call, sweep: Sweep) -> JSON:
    runs = [run for run in call.backend.runs_of(sweep.entity, sweep.project) if run.sweep == sweep.name]
    return views.sweep_node(sweep, len(runs))


_OPERATIONS: dict[str, Callable[[Call], JSON]] = {
    "Viewer": _viewer,
    "GetViewer": _viewer,
    "GetDefaultEntity": _viewer,
    "ServerFeaturesQuery": _server_features,
    "OrganizationCoreWeaveOrganizationID": _organization,
    "UpsertBucket": _upsert_bucket,
    "RunResumeStatus": _run_resume_status,
    "CreateRunFiles": _create_run_files,
    "RunStopStatus": _run_stop_status,
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
    "UpsertSweep": _upsert_sweep,
    "GetSweep": _sweep,
    **graphql_artifacts.OPERATIONS,
}
