"""The objects in GraphQL answers: users, projects, runs, files, artifacts, sweeps and views.

An object has every field that some version of the client reads, whichever the query selected.
Clients skip the rest.
"""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Mapping, Sequence
from typing import Any

from wandb_mock.addresses import run_file_url
from wandb_mock.backend import ENTITY, ORGANIZATION, Backend
from wandb_mock.graphql.history import history_keys
from wandb_mock.records import Artifact, Link, Run, Sweep, View, global_id
from wandb_mock.stream_message import EVENTS, HISTORY

JSON = dict[str, Any]

_HEAVY = ("config", "summaryMetrics", "systemMetrics", "historyKeys")


def connection(nodes: Sequence[Mapping[str, Any]], first: int | None = None, after: str | None = None) -> JSON:
    """Return one page of `nodes`: the first `first` after the cursor `after`. A cursor is a count
    of nodes."""
    start = int(after or 0)
    stop = min(len(nodes), start + (first or len(nodes)))
    edges = [{"node": nodes[at], "cursor": str(at + 1)} for at in range(start, stop)]
    page = {"__typename": "PageInfo", "endCursor": str(stop), "hasNextPage": stop < len(nodes)}
    return {"edges": edges, "pageInfo": page, "totalCount": len(nodes)}


def viewer() -> JSON:
    """Return the user whose key the request has. Every key is that of the same user."""
    user = user_node(ENTITY)
    return user | {"entity": ENTITY, "flags": "{}", "teams": {"edges": [{"node": {"name": ENTITY}}]}}


def user_node(name: str) -> JSON:
    """Return a user."""
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
    """Return a project."""
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
    """Return a run. Without `heavy`, leave out the fields that a listing loads only when they are
    used."""
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
        "historyLineCount": run.stream(HISTORY).end,
        "eventsLineCount": run.stream(EVENTS).end,
        "logLineCount": run.stream("output.log").end,
        "config": json.dumps(run.raw_config),
        "summaryMetrics": json.dumps(run.summary),
        "systemMetrics": json.dumps(run.events[-1] if run.events else {}),
        "historyKeys": history_keys(run),
        "shouldStop": False,
    }
    return node if heavy else {name: value for name, value in node.items() if name not in _HEAVY}


def resume_node(run: Run) -> JSON:
    """Return a run with what the client needs to go on with it: the last row and the last machine
    metrics."""
    return run_node(run) | {
        "historyTail": json.dumps([json.dumps(row) for row in run.history[-1:]]),
        "eventsTail": json.dumps([json.dumps(row) for row in run.events[-1:]]),
        "wandbConfig": json.dumps({"t": run.raw_config.get("_wandb", {}).get("value", {}).get("t", {})}),
    }


def run_file_node(backend: Backend, url: str, run: Run, name: str) -> JSON:
    """Return a file of a run, with the address of its download."""
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
    """Return the collection of which the artifact is a version."""
    return {
        "__typename": "ArtifactSequence",
        "id": global_id("ArtifactSequence", artifact.entity, artifact.project, artifact.collection),
        "name": artifact.collection,
        "project": project_node(artifact.entity, artifact.project),
    }


def artifact_node(backend: Backend, artifact: Artifact) -> JSON:
    """Return a version of an artifact. Its size counts the files that have arrived."""
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
    """Return an alias of a version."""
    return {
        "__typename": "ArtifactAlias",
        "id": global_id("ArtifactAlias", artifact.number, alias),
        "alias": alias,
        "artifactCollection": collection_node(artifact),
    }


def membership_node(backend: Backend, artifact: Artifact) -> JSON:
    """Return a version as a member of its collection."""
    return {
        "__typename": "ArtifactCollectionMembership",
        "id": global_id("ArtifactCollectionMembership", artifact.number),
        "versionIndex": artifact.version,
        "createdAt": artifact.created_at,
        "aliases": [alias_node(artifact, alias) for alias in artifact.aliases],
        "artifactCollection": collection_node(artifact),
        "artifact": artifact_node(backend, artifact),
    }


def link_node(backend: Backend, link: Link) -> JSON:
    """Return a version as a member of a collection of a registry."""
    collection = {
        "__typename": "ArtifactPortfolio",
        "id": global_id("ArtifactPortfolio", *link.home),
        "name": link.collection,
        "project": project_node(link.entity, link.project),
    }
    return {
        "__typename": "ArtifactCollectionMembership",
        "id": global_id("ArtifactCollectionMembership", *link.home, link.version),
        "versionIndex": link.version,
        "createdAt": link.created_at,
        "aliases": [
            {
                "__typename": "ArtifactAlias",
                "id": global_id("ArtifactAlias", *link.home, link.version, alias),
                "alias": alias,
                "artifactCollection": collection,
            }
            for alias in link.aliases
        ],
        "artifactCollection": collection,
        "artifact": artifact_node(backend, backend.artifacts[link.artifact_id]),
    }


def organization_node() -> JSON:
    """Return the one organization, which every entity belongs to. Its entity owns the
    registries."""
    org_entity = {"__typename": "Entity", "id": global_id("Entity", ORGANIZATION), "name": ORGANIZATION}
    return {
        "id": global_id("Organization", ORGANIZATION),
        "name": ORGANIZATION,
        "orgEntity": org_entity | {"entityType": "organization"},
        "coreWeaveOrganizationId": None,
    }


def view_node(view: View) -> JSON:
    """Return a saved workspace view or a report."""
    return {
        "__typename": "View",
        "id": view.id,
        "name": view.name,
        "type": view.type,
        "displayName": view.display_name,
        "description": view.description,
        "spec": view.spec,
        "createdAt": view.created_at,
        "updatedAt": view.updated_at,
        "user": user_node(view.entity) | {"photoUrl": None},
        "project": project_node(view.entity, view.project),
    }


def sweep_node(sweep: Sweep, runs: Sequence[Run]) -> JSON:
    """Return a sweep with its runs."""
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
        "runCount": len(runs),
        "runCountExpected": None,
        "runs": connection([run_node(run) for run in runs]),
        "project": project_node(sweep.entity, sweep.project),
    }
