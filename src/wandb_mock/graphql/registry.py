"""The operations on registries: a version is linked to a collection, and its links are read."""

from __future__ import annotations

from wandb_mock.backend import ENTITY
from wandb_mock.graphql import nodes
from wandb_mock.graphql.call import JSON, Call, Operation


def _link(call: Call) -> JSON:
    """Link a version. wandb-core passes each field as a variable, the public API one input
    object."""
    given = call.variables.get("input") or call.variables
    home = (given.get("entityName") or ENTITY, given["projectName"], given["artifactPortfolioName"])
    client_id = given.get("clientID") or given.get("clientId")
    wanted = given.get("artifactID") or given.get("artifactId")
    kept = call.backend.artifacts.values()
    artifact = next((one for one in kept if one.id == wanted or client_id and one.client_id == client_id), None)
    if artifact is None:
        raise LookupError("no such artifact")
    link = call.backend.links.link(artifact, home, [one["alias"] for one in given.get("aliases") or []])
    linked = {"versionIndex": link.version, "artifactMembership": nodes.link_node(call.backend, link)}
    return {"linkArtifact": linked, "result": linked}


def _linked(call: Call) -> JSON:
    """Return every collection that a version is in, its own first."""
    links = [nodes.link_node(call.backend, link) for link in call.backend.links.of_artifact(call.artifact)]
    members = [nodes.membership_node(call.backend, call.artifact), *links]
    return {"artifact": {"artifactMemberships": nodes.connection(members)}}


def _organization_of_entity(_: Call) -> JSON:
    organization = nodes.organization_node()
    return {"entity": {"organization": organization, "user": {"organizations": [organization]}}}


def _organization(_: Call) -> JSON:
    return {"organization": nodes.organization_node()}


OPERATIONS: dict[str, Operation] = {
    "LinkArtifact": _link,
    "FetchLinkedArtifacts": _linked,
    "FetchOrgInfoFromEntity": _organization_of_entity,
    "FetchOrgEntityFromEntity": _organization_of_entity,
    "FetchOrganization": _organization,
}
