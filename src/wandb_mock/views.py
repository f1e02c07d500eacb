"""The nodes of the GraphQL answers.

A node holds every field that some client reads, whatever the query selected: clients skip what they did
not ask for.
"""

from __future__ import annotations

import json
import math
import mimetypes
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from wandb_mock.backend import ENTITY, Backend
from wandb_mock.records import Artifact, Run, Sweep, global_id

JSON = dict[str, Any]

_HEAVY = ("config", "summaryMetrics", "systemMetrics", "historyKeys")


def connection(nodes: Sequence[Mapping[str, Any]], first: int | None = None, after: str | None = None) -> JSON:
    """One page of `nodes`; a cursor is the number of nodes up to and with its own."""
    start = int(after or 0)
    stop = min(len(nodes), start + (first or len(nodes)))
    edges = [{"node": nodes[at], "cursor": str(at + 1)} for at in range(start, stop)]
    page = {"__typename": "PageInfo", "endCursor": str(stop), "hasNextPage": stop < len(nodes)}
    return {"edges": edges, "pageInfo": page, "totalCount": len(nodes)}


def viewer() -> JSON:
    user = user_node(ENTITY)
    return user | {"entity": ENTITY, "flags": "{}", "teams": {"edges": [{"node": {"name": ENTITY}}]}}


def user_node(name: str) -> JSON:
    return {
        "id": global_id("User", name),
        "name": name,
        "username": name,
        "email": f"{name}@localhost",
        "admin": False,
        "flags": "{}",
        "entity": name,
        "deletedAt": None,
        "apiKeys": {"edges": []},
        "teams": {"edges": []},
    }


def project_node(entity: str, name: str) -> JSON:
    return {
        "__typename": "Project",
        "id": global_id("Project", "v1", name, entity),
        "internalId": global_id("ProjectInternalId", 1),
        "name": name,
        "entityName": entity,
        "entity": {"id": global_id("Entity", entity), "name": entity},
        "isBenchmark": False,
        "readOnly": False,
        "user": user_node(entity),
    }


def run_node(run: Run, *, heavy: bool = True) -> JSON:
    """Without `heavy`, less what a listing leaves out until the client asks for the run itself."""
    node = {
        "__typename": "Run",
        "id": run.storage_id,
        "projectId": "1",
        "name": run.id,
        "displayName": run.display_name,
        "description": "",
        "notes": run.notes,
        "state": run.state,
        "tags": run.tags,
        "group": run.group or None,
        "jobType": run.job_type or None,
        "sweepName": run.sweep or None,
        "host": run.host,
        "commit": run.commit,
        "readOnly": False,
        "createdAt": run.created_at,
        "heartbeatAt": run.heartbeat_at,
        "user": user_node(run.entity),
        "project": project_node(run.entity, run.project),
        "historyLineCount": run.stream("wandb-history.jsonl").end,
        "eventsLineCount": run.stream("wandb-events.jsonl").end,
        "logLineCount": run.stream("output.log").end,
        "config": json.dumps(run.raw_config),
        "summaryMetrics": json.dumps(run.summary),
        "systemMetrics": json.dumps(run.events[-1] if run.events else {}),
        "historyKeys": history_keys(run),
        "shouldStop": False,
    }
    return node if heavy else {name: value for name, value in node.items() if name not in _HEAVY}


def history_keys(run: Run) -> JSON:
    counts = Counter(name for row in run.history for name in row)
    keys = {name: {"typeCounts": [{"type": "number", "count": count}]} for name, count in counts.items()}
    last = max((int(row.get("_step", -1)) for row in run.history), default=-1)
    return {"lastStep": last, "keys": keys, "sets": []}


def resume_node(run: Run) -> JSON:
    return run_node(run) | {
        "historyTail": json.dumps([json.dumps(row) for row in run.history[-1:]]),
        "eventsTail": json.dumps([json.dumps(row) for row in run.events[-1:]]),
        "wandbConfig": json.dumps({"t": run.raw_config.get("_wandb", {}).get("value", {}).get("t", {})}),
    }


def sampled(rows: Sequence[JSON], samples: int | None) -> list[JSON]:
    """Up to `samples` rows evenly spread over `rows`, with the first and the last."""
    if samples is None or len(rows) <= samples:
        return list(rows)
    if samples < 2:
        return list(rows[:samples])
    return [rows[at * (len(rows) - 1) // (samples - 1)] for at in range(samples)]


def specified(rows: Sequence[JSON], spec: Mapping[str, Any]) -> list[JSON]:
    """The rows that have all the keys of a history spec, with these keys alone, within its steps.

    Unlike elsewhere, the last step of a spec is one of its steps.
    """
    keys = spec.get("keys") or []
    last = spec.get("maxStep")
    within = between(rows, spec.get("minStep"), None if last is None else last + 1)
    chosen = [row for row in within if all(key in row for key in keys)]
    return [{key: _as_json(row[key]) for key in keys or row} for row in sampled(chosen, spec.get("samples"))]


def _as_json(value: Any) -> Any:
    """JSON has no NaN: rows sent as text hold it all the same, but inside an answer it goes by its name."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def between(rows: Sequence[JSON], low: int | None, high: int | None) -> list[JSON]:
    """The rows from step `low` on and before step `high`."""
    return [
        row
        for row in rows
        if (low is None or row.get("_step", 0) >= low) and (high is None or row.get("_step", 0) < high)
    ]


def run_file_url(url: str, run: Run, name: str) -> str:
    return "/".join([url, "storage", "runs", *(quote(part, safe="") for part in run.key), quote(name)])


def artifact_file_url(url: str, artifact: Artifact, name: str) -> str:
    return f"{url}/storage/artifacts/{artifact.number}/{quote(name)}"


def manifest_url(url: str, artifact: Artifact) -> str:
    return f"{url}/storage/manifests/{artifact.number}"


def run_file_node(backend: Backend, url: str, run: Run, name: str) -> JSON:
    address = run_file_url(url, run, name)
    return {
        "id": global_id("File", *run.key, name),
        "name": name,
        "url": address,
        "directUrl": address,
        "sizeBytes": backend.disk.run_file(run.key, name).stat().st_size,
        "mimetype": mimetypes.guess_type(name)[0] or "application/octet-stream",
        "updatedAt": run.heartbeat_at,
        "md5": None,
    }


def collection_node(artifact: Artifact) -> JSON:
    return {
        "__typename": "ArtifactSequence",
        "id": global_id("ArtifactSequence", artifact.entity, artifact.project, artifact.collection),
        "name": artifact.collection,
        "project": project_node(artifact.entity, artifact.project),
    }


def artifact_node(backend: Backend, artifact: Artifact) -> JSON:
    files = backend.artifact_files(artifact)
    sizes = [backend.artifact_file(birth, name).stat().st_size for name, birth in files.items()]
    return {
        "__typename": "Artifact",
        "id": artifact.id,
        "artifactSequence": collection_node(artifact),
        "versionIndex": artifact.version,
        "artifactType": {"name": artifact.type},
        "description": artifact.description,
        "metadata": artifact.metadata,
        "ttlDurationSeconds": -1,
        "ttlIsInherited": False,
        "tags": [],
        "historyStep": artifact.history_step,
        "state": artifact.state,
        "size": sum(sizes),
        "digest": artifact.digest,
        "digestAlgorithm": artifact.digest_algorithm,
        "commitHash": None,
        "fileCount": len(files),
        "createdAt": artifact.created_at,
        "updatedAt": None,
        "aliases": [alias_node(artifact, alias) for alias in artifact.aliases],
    }


def alias_node(artifact: Artifact, alias: str) -> JSON:
    return {
        "__typename": "ArtifactAlias",
        "id": global_id("ArtifactAlias", artifact.number, alias),
        "alias": alias,
        "artifactCollection": collection_node(artifact),
    }


def membership_node(backend: Backend, artifact: Artifact) -> JSON:
    return {
        "__typename": "ArtifactCollectionMembership",
        "id": global_id("ArtifactCollectionMembership", artifact.number),
        "versionIndex": artifact.version,
        "createdAt": artifact.created_at,
        "aliases": [alias_node(artifact, alias) for alias in artifact.aliases],
        "artifactCollection": collection_node(artifact),
        "artifact": artifact_node(backend, artifact),
    }


def sweep_node(sweep: Sweep, run_count: int) -> JSON:
    return {
        "__typename": "Sweep",
        "id": sweep.id,
        "name": sweep.name,
        "displayName": sweep.display_name or None,
        "method": "CUSTOM",
        "state": sweep.state,
        "description": sweep.description or None,
        "bestLoss": None,
        "config": sweep.config,
        "createdAt": sweep.created_at,
        "updatedAt": None,
        "runCount": run_count,
        "runCountExpected": None,
        "project": project_node(sweep.entity, sweep.project),
    }
