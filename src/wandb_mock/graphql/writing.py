"""The operations by which a client starts a run, changes it and resumes it."""

from __future__ import annotations

from wandb_mock.addresses import run_file_url
from wandb_mock.backend import ENTITY
from wandb_mock.graphql import nodes
from wandb_mock.graphql.call import JSON, Call, Operation, parsed
from wandb_mock.records import Alert, Run


def _upsert_bucket(call: Call) -> JSON:
    """Start a run or change it. The client leaves out, as null, what is to stay."""
    given = call.variables
    if given.get("name"):
        run, inserted = call.backend.ensure_run(given.get("entity"), given.get("project"), given["name"])
    else:
        run, inserted = _by_storage_id(call), False
    # A start names the program or the host, and no id: a later update has an id, or names neither.
    if (given.get("program") or given.get("host")) and not given.get("id"):
        call.backend.start_anew(run)
    changes = {
        "display_name": given.get("displayName", given.get("display_name")),
        "group": given.get("groupName"),
        "job_type": given.get("jobType"),
        "raw_config": parsed(given.get("config")),
        "summary": parsed(given.get("summaryMetrics")),
    }
    plain = {name: given.get(name) for name in ("tags", "notes", "sweep", "host", "program", "commit", "repo")}
    call.backend.update_run(run, changes | plain)
    return {"upsertBucket": {"bucket": nodes.run_node(run), "inserted": inserted}}


def _by_storage_id(call: Call) -> Run:
    run = call.backend.run_by_storage_id(call.variables.get("id") or "")
    if run is None:
        raise LookupError("no such run")
    return run


def _run_resume_status(call: Call) -> JSON:
    run = call.run
    if run:
        call.backend.expect_resume(run)
    return {"model": nodes.project_node(*call.home) | {"bucket": run and nodes.resume_node(run)}}


def _create_run_files(call: Call) -> JSON:
    run, _ = call.backend.ensure_run(call.variables.get("entity"), call.variables.get("project"), call.variables["run"])
    files = [{"name": name, "uploadUrl": run_file_url(call.url, run, name)} for name in call.variables["files"]]
    return {"createRunFiles": {"runID": run.storage_id, "uploadHeaders": [], "files": files}}


def _alert(call: Call) -> JSON:
    given = call.variables
    run = call.backend.run(given.get("entityName"), given.get("projectName"), given["runName"])
    if run is None:
        raise LookupError("no such run")
    call.backend.keep_alert(Alert(run.key, given["title"], given.get("text") or "", given.get("severity") or "INFO"))
    return {"notifyScriptableRunAlert": {"success": True}}


def _create_project(call: Call) -> JSON:
    """Answer without making anything: a project is there as soon as something is in it."""
    given = call.variables["input"]
    project = nodes.project_node(given.get("entityName") or ENTITY, given["name"])
    return {"result": {"project": project, "model": project, "inserted": True}}


def _run_stop_status(call: Call) -> JSON:
    return call.project(run=call.run and {"shouldStop": False})


OPERATIONS: dict[str, Operation] = {
    "UpsertBucket": _upsert_bucket,
    "RunResumeStatus": _run_resume_status,
    "CreateRunFiles": _create_run_files,
    "RunStopStatus": _run_stop_status,
    "NotifyScriptableRunAlert": _alert,
    "CreateProject": _create_project,
}
