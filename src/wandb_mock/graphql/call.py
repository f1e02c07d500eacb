"""One GraphQL request, as its operation sees it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wandb_mock.backend import ENTITY, PROJECT, Backend
from wandb_mock.records import Artifact, Run

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """A request: the `query` text and its `variables`. `url` is the address of the server, for
    addresses in the answer."""

    backend: Backend
    url: str
    query: str
    variables: JSON

    @property
    def home(self) -> tuple[str, str]:
        """The entity and the project that the request names."""
        return self.variables.get("entity") or ENTITY, self.variables.get("project") or PROJECT

    @property
    def run(self) -> Run | None:
        """The run that the request names. The public API calls it `name`, wandb-core `run` or
        `runName`."""
        given = self.variables
        return self.backend.run(*self.home, given.get("name") or given.get("run") or given.get("runName"))

    @property
    def history(self) -> list[JSON]:
        """The rows of the run that the request names; empty where there is no such run."""
        return self.run.history if self.run else []

    @property
    def artifact(self) -> Artifact:
        """The artifact whose id the request names. Raises LookupError where there is none."""
        wanted = self.variables.get("artifactID") or self.variables.get("id") or ""
        if wanted not in self.backend.artifacts:
            raise LookupError("no such artifact")
        return self.backend.artifacts[wanted]

    def project(self, **inside: Any) -> JSON:
        """Return an answer about the project that the request names; null where there is no such
        project."""
        known = self.home in self.backend.projects() or self.home in self.backend.links.projects()
        return {"project": inside | {"internalId": "1", "readOnly": False} if known else None}


Operation = Callable[[Call], JSON]


def parsed(text: str | None) -> Any:
    """Return the value of a variable that holds JSON as text. Raises ValueError."""
    return None if text is None else json.loads(text)
