"""The table of all operations, and the answer to a request."""

from __future__ import annotations

import re

from wandb_mock.backend import Backend
from wandb_mock.graphql import artifacts, nodes, reading, registry, sweeps, views, writing
from wandb_mock.graphql.call import JSON, Call, Operation

_NAMED = re.compile(r"\b(?:query|mutation|subscription)\s+(\w+)")

# What a malformed request raises in an operation.
_MALFORMED = (LookupError, ValueError, TypeError, AttributeError, RecursionError)


# A link is answered with the linked version, so that the client does not ask for it with an account
# that it takes from the environment.
_FEATURES = ("ARTIFACT_MEMBERSHIP_IN_LINK_ARTIFACT_RESPONSE",)


def operation_name(request: JSON) -> str:
    """Return the name of the operation. The public API sends none beside its query, so that it is
    read from the query."""
    found = _NAMED.search(str(request.get("query") or ""))
    return str(request.get("operationName") or (found and found[1]) or "unnamed")


def answer(backend: Backend, url: str, request: JSON) -> JSON:
    """Return the answer to a request. An unknown operation is counted, and answered with an
    error."""
    name = operation_name(request)
    call = Call(backend, url, request.get("query") or "", request.get("variables") or {})
    operation = _OPERATIONS.get(name)
    if operation is None:
        backend.count_unknown(name)
        return _error(f"the mock server does not know the operation {name!r}")
    try:
        with backend.lock:
            return {"data": operation(call)}
    except _MALFORMED as error:
        return _error(f"{name}: {error}")


def _error(message: str) -> JSON:
    return {"data": None, "errors": [{"message": message}]}


def _viewer(_: Call) -> JSON:
    return {"viewer": nodes.viewer()}


def _server_features(_: Call) -> JSON:
    """Return the features that the client may rely on. It does nothing that needs another one."""
    features = [{"name": name, "isEnabled": True} for name in _FEATURES]
    return {"serverInfo": {"features": features}}


def _organization(_: Call) -> JSON:
    """Return none. The client asks because of metrics that some clusters have for each machine."""
    return {"entity": {"organization": None}}


_OPERATIONS: dict[str, Operation] = {
    "Viewer": _viewer,
    "GetViewer": _viewer,
    "GetDefaultEntity": _viewer,
    "ServerFeaturesQuery": _server_features,
    "OrganizationCoreWeaveOrganizationID": _organization,
    **writing.OPERATIONS,
    **reading.OPERATIONS,
    **sweeps.OPERATIONS,
    **artifacts.OPERATIONS,
    **registry.OPERATIONS,
    **views.OPERATIONS,
}
