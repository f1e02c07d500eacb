"""The operations on W&B sweeps: a sweep is made or changed, and read."""

from __future__ import annotations

import secrets

from wandb_mock.backend import ENTITY, PROJECT
from wandb_mock.graphql import nodes
from wandb_mock.graphql.call import JSON, Call, Operation, parsed
from wandb_mock.graphql.filters import selected
from wandb_mock.records import Sweep


def _upsert_sweep(call: Call) -> JSON:
    given = call.variables
    sweep = next((one for one in call.backend.sweeps.values() if one.id == given.get("id")), None)
    sweep = sweep or Sweep(given.get("entityName") or ENTITY, given.get("projectName") or PROJECT, secrets.token_hex(4))
    sweep.config = given.get("config") or sweep.config
    sweep.description = given.get("description") or sweep.description
    sweep.display_name = given.get("displayName") or sweep.display_name
    sweep.state = given.get("state") or sweep.state
    call.backend.keep_sweep(sweep)
    if prior := parsed(given.get("priorRunsFilters")):
        for run in selected(call.backend.runs_of(sweep.entity, sweep.project), prior):
            call.backend.update_run(run, {"sweep": sweep.name})
    return {"upsertSweep": {"sweep": _sweep_node(call, sweep), "configValidationWarnings": []}}


def _sweep(call: Call) -> JSON:
    sweep = call.backend.sweeps.get(call.variables.get("name") or call.variables.get("sweep") or "")
    here = sweep is not None and (sweep.entity, sweep.project) == call.home
    return call.project(sweep=_sweep_node(call, sweep) if sweep and here else None)


def _sweeps(call: Call) -> JSON:
    found = [_sweep_node(call, sweep) for sweep in call.backend.sweeps_of(*call.home)]
    page = nodes.connection(found, call.variables.get("perPage"), call.variables.get("cursor"))
    return call.project(totalSweeps=len(found), sweeps=page)


def _sweep_node(call: Call, sweep: Sweep) -> JSON:
    return nodes.sweep_node(sweep, call.backend.runs_of_sweep(sweep))


OPERATIONS: dict[str, Operation] = {
    "UpsertSweep": _upsert_sweep,
    "GetSweep": _sweep,
    "GetSweepState": _sweep,
    "SweepWithRuns": _sweep,
    "GetSweeps": _sweeps,
}
