"""The operations on views: `wandb_workspaces` saves and reads workspace views and reports by
them."""

from __future__ import annotations

import json

from wandb_mock.backend import ENTITY, PROJECT
from wandb_mock.graphql import nodes
from wandb_mock.graphql.call import JSON, Call, Operation
from wandb_mock.records import View


def _upsert_view(call: Call) -> JSON:
    """Make a view, or change the one with the given id. Raises LookupError where there is none,
    and ValueError where the spec is no JSON object."""
    given = call.variables
    if not isinstance(json.loads(given.get("spec") or "{}"), dict):
        raise ValueError("the spec is not an object")
    view = _view(call) if given.get("id") else None
    inserted = view is None
    if view is None:
        view = call.backend.views.new(given.get("entityName") or ENTITY, given.get("projectName") or PROJECT)
    view.name = given.get("name") or view.name
    view.type = given.get("type") or view.type
    view.display_name = given.get("displayName") or view.display_name
    view.description = given.get("description") or view.description
    view.spec = given.get("spec") or view.spec
    call.backend.views.keep(view)
    return {"upsertView": {"view": nodes.view_node(view), "inserted": inserted}}


def _view(call: Call) -> View:
    view = call.backend.views.by_id(call.variables.get("id") or call.variables.get("reportId") or "")
    if view is None:
        raise LookupError("no such view")
    return view


def _report(call: Call) -> JSON:
    return {"view": nodes.view_node(_view(call))}


def _delete_view(call: Call) -> JSON:
    call.backend.views.drop(_view(call))
    return {"deleteView": {"success": True, "pendingDrafts": [], "__typename": "DeleteViewPayload"}}


def _views_of_user(call: Call) -> JSON:
    """Return the views with a name. `name` is the name of the project here."""
    given = call.variables
    home = (given.get("entityName") or ENTITY, given.get("name") or PROJECT)
    return {"project": _found(call, home) if home in call.backend.projects() else None}


def _project_id(call: Call) -> JSON:
    """Return the ids of a project, which a report names it by."""
    home = (call.variables.get("entityName") or ENTITY, call.variables["projectName"])
    return {"project": nodes.project_node(*home) if home in call.backend.projects() else None}


def _reports(call: Call) -> JSON:
    return call.project(**_found(call, call.home))


def _found(call: Call, home: tuple[str, str]) -> JSON:
    given = call.variables
    found = call.backend.views.of(*home, type=given.get("viewType") or "runs", name=given.get("viewName") or "")
    page = nodes.connection(
        [nodes.view_node(view) for view in found], given.get("reportLimit"), given.get("reportCursor")
    )
    return {"allViews": page}


OPERATIONS: dict[str, Operation] = {
    "UpsertView2": _upsert_view,
    "upsertView": _upsert_view,
    "SpecificReport": _report,
    "deleteView": _delete_view,
    "View": _views_of_user,
    "ProjectViews": _reports,
    "ProjectInternalId": _project_id,
}
