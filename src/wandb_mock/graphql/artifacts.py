"""The operations on artifacts: a draft is made, its files and its manifest are sent, and it is
committed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wandb_mock.addresses import artifact_file_url, manifest_url
from wandb_mock.backend import ENTITY, PROJECT
from wandb_mock.graphql import nodes
from wandb_mock.graphql.call import JSON, Call, Operation
from wandb_mock.records import Artifact, RunKey


def _create_artifact(call: Call) -> JSON:
    # wandb-core passes one input object, the public API each field as a variable of its own.
    given = call.variables.get("input") or call.variables
    entity, project = given.get("entityName") or ENTITY, given.get("projectName") or PROJECT
    names = given.get("artifactCollectionNames") or [given.get("artifactCollectionName")]
    aliases = given.get("aliases") or []
    wanted = Artifact(
        number=call.backend.next_artifact_number(),
        entity=entity,
        project=project,
        type=given["artifactTypeName"],
        collection=names[0],
        digest=given["digest"],
        digest_algorithm=given.get("digestAlgorithm") or "MANIFEST_MD5",
        client_id=given.get("clientID") or "",
        description=given.get("description"),
        metadata=given.get("metadata"),
        history_step=given.get("historyStep"),
        wanted_aliases=[one["alias"] for one in aliases if one["artifactCollectionName"] == names[0]],
    )
    run: RunKey | None = (entity, project, given["runName"]) if given.get("runName") else None
    artifact = call.backend.create_artifact(wanted, run)
    return {"createArtifact": {"artifact": _created_node(call, artifact)}}


def _created_node(call: Call, artifact: Artifact) -> JSON:
    versions = call.backend.versions(artifact.entity, artifact.project, artifact.collection)
    latest = {"id": versions[-1].id, "versionIndex": versions[-1].version} if versions else None
    sequence = nodes.collection_node(artifact) | {"latestArtifact": latest}
    return nodes.artifact_node(call.backend, artifact) | {"artifactSequence": sequence}


def _create_manifest(call: Call) -> JSON:
    return {"createArtifactManifest": {"artifactManifest": _manifest_node(call, call.artifact)}}


def _update_manifest(call: Call) -> JSON:
    wanted = call.variables["artifactManifestID"]
    artifact = next(one for one in call.backend.artifacts.values() if one.manifest_id == wanted)
    return {"updateArtifactManifest": {"artifactManifest": _manifest_node(call, artifact)}}


def _manifest_node(call: Call, artifact: Artifact) -> JSON:
    address = manifest_url(call.url, artifact)
    file = {"id": artifact.manifest_id, "uploadUrl": address, "uploadHeaders": [], "directUrl": address}
    return {"id": artifact.manifest_id, "file": file}


def _create_files(call: Call) -> JSON:
    wanted = call.variables["input"]["artifactFiles"]
    found = [_upload_node(call, one) for one in wanted]
    return {"createArtifactFiles": {"files": nodes.connection(found)}}


def _upload_node(call: Call, wanted: dict[str, Any]) -> JSON:
    artifact = call.backend.artifacts[wanted["artifactID"]]
    return {
        "id": wanted["name"],
        "name": wanted["name"],
        "displayName": wanted["name"],
        "storagePath": f"artifacts/{artifact.number}/{wanted['name']}",
        "uploadUrl": artifact_file_url(call.url, artifact, wanted["name"]),
        "uploadHeaders": [],
        "uploadMultipartUrls": None,
        "artifact": {"id": artifact.id},
    }


def _commit(call: Call) -> JSON:
    call.backend.commit_artifact(call.artifact)
    return {"commitArtifact": {"artifact": nodes.artifact_node(call.backend, call.artifact)}}


def _use(call: Call) -> JSON:
    given = call.variables.get("input") or call.variables
    artifact = call.backend.artifacts[given["artifactID"]]
    home = (given.get("entityName") or ENTITY, given.get("projectName") or PROJECT)
    call.backend.use_artifact(artifact, (*home, given["runName"]))
    return {"useArtifact": {"artifact": nodes.artifact_node(call.backend, artifact)}}


def _client_id_mapping(call: Call) -> JSON:
    wanted = call.variables["clientID"]
    found = next((one.id for one in call.backend.artifacts.values() if one.client_id == wanted), None)
    return {"clientIDMapping": found and {"serverID": found}}


def _artifact_type(call: Call) -> JSON:
    found = _by_name(call)
    return call.project(artifact=found and {"artifactType": {"name": found.type}})


def _by_name(call: Call) -> Artifact | None:
    return call.backend.artifact_by_name(*call.home, call.variables["name"])


def _membership(call: Call) -> JSON:
    """Return a version as a member of its own collection, or of a collection of a registry."""
    if link := call.backend.links.by_name(*call.home, call.variables["name"]):
        return call.project(artifactCollectionMembership=nodes.link_node(call.backend, link))
    found = _by_name(call)
    return call.project(artifactCollectionMembership=found and nodes.membership_node(call.backend, found))


def _artifact(call: Call) -> JSON:
    return {"artifact": nodes.artifact_node(call.backend, call.artifact)}


def _manifest(call: Call) -> JSON:
    return {"artifact": {"currentManifest": _manifest_node(call, call.artifact)}}


def _file_urls(call: Call) -> JSON:
    given = call.variables
    found = call.backend.artifact_by_name(*call.home, f"{given['collection']}:{given['alias']}")
    if found is None:
        return call.project(artifactCollection=None)
    files = nodes.connection(_file_nodes(call, found), given.get("perPage"), given.get("cursor"))
    collection = nodes.collection_node(found) | {"artifactMembership": {"files": files}}
    return call.project(artifactCollection=collection)


def _file_nodes(call: Call, artifact: Artifact) -> list[JSON]:
    return [
        {"__typename": "File", "name": name, "directUrl": artifact_file_url(call.url, birth, name)}
        for name, birth in call.backend.artifact_files(artifact).items()
    ]


def _output_artifacts(call: Call) -> JSON:
    return _artifacts_of_run(call, lambda artifact: artifact.logged_by)


def _input_artifacts(call: Call) -> JSON:
    return _artifacts_of_run(call, lambda artifact: artifact.used_by)


def _artifacts_of_run(call: Call, runs_of: Callable[[Artifact], list[RunKey]]) -> JSON:
    run = call.run
    if run is None:
        return call.project(run=None)
    committed = [one for one in call.backend.artifacts.values() if one.version is not None]
    found = [nodes.artifact_node(call.backend, one) for one in committed if run.key in runs_of(one)]
    page = nodes.connection(found, call.variables.get("perPage"), call.variables.get("cursor"))
    return call.project(run={"artifacts": page})


def _created_by(call: Call) -> JSON:
    return {"artifact": {"createdBy": next(iter(_run_nodes(call, call.artifact.logged_by)), None)}}


def _used_by(call: Call) -> JSON:
    return {"artifact": {"usedBy": nodes.connection(_run_nodes(call, call.artifact.used_by))}}


def _run_nodes(call: Call, keys: list[RunKey]) -> list[JSON]:
    return [nodes.run_node(call.backend.runs[key], heavy=False) for key in keys if key in call.backend.runs]


def _versions(call: Call) -> JSON:
    """The versions of a collection, newest first."""
    given = call.variables
    kept = call.backend.versions(*call.home, given["collection"])[::-1]
    page = nodes.connection(
        [nodes.artifact_node(call.backend, one) for one in kept], given.get("perPage"), given.get("cursor")
    )
    edges = [edge | {"version": f"v{edge['node']['versionIndex']}"} for edge in page["edges"]]
    found = {"__typename": "ArtifactSequence", "artifacts": page | {"edges": edges}} if kept else None
    return call.project(artifactType={"artifactCollection": found})


OPERATIONS: dict[str, Operation] = {
    "CreateArtifact": _create_artifact,
    "CreateArtifactManifest": _create_manifest,
    "UpdateArtifactManifest": _update_manifest,
    "CreateArtifactFiles": _create_files,
    "CommitArtifact": _commit,
    "UseArtifact": _use,
    "ClientIDMapping": _client_id_mapping,
    "ArtifactType": _artifact_type,
    "ArtifactMembershipByName": _membership,
    "ArtifactByID": _artifact,
    "FetchArtifactManifest": _manifest,
    "GetArtifactMembershipFileUrls": _file_urls,
    "ArtifactCreatedBy": _created_by,
    "ArtifactUsedBy": _used_by,
    "ProjectArtifacts": _versions,
    "RunOutputArtifacts": _output_artifacts,
    "RunInputArtifacts": _input_artifacts,
}
