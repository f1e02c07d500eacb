"""One GraphQL request, as its operation sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wandb_mock.backend import ENTITY, PROJECT, Backend
from wandb_mock.records import Artifact, Run

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """`url` is where the server is reached, for the addresses in the answer."""

    backend: Backend
    url: str
    query: str
    variables: JSON

    @property
    def home(self) -> tuple[str, str]:
        """The entity and the project asked about."""
        return self.variables.get("entity") or ENTITY, self.variables.get("project") or PROJECT

    @property
    def run(self) -> Run | None:
        """The run asked about: `name` for the public API, `run` or `runName` for wandb-core."""
        given = self.variables
        return self.backend.run(*self.home, given.get("name") or given.get("run") or given.get("runName"))

    @property
    def history(self) -> list[JSON]:
        return self.run.history if self.run else []

    @property
    def artifact(self) -> Artifact:
        """The artifact asked about by its id; `LookupError` where there is none."""
        wanted = self.variables.get("artifactID") or self.variables.get("id") or ""
        if wanted not in self.backend.artifacts:
            raise LookupError("no such artifact")
        return self.backend.artifacts[wanted]

    def project(self, **inside: Any) -> JSON:
        """An answer about the project asked about, null if there is no such project."""
        return {"project": inside | {"internalId": "1", "readOnly": False} if self._is_known() else None}

    def _is_known(self) -> bool:
        return self.home in self.backend.projects()
