"""The ids of what a study has on a W&B server beside its runs: its sweep, workspace view and
report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sweep.config.schema import TrackerConfig
from sweep.records.disk import write_whole

FILE = ".dashboard.json"
_PUBLIC = "https://api.wandb.ai"  # the server of a client that names none


@dataclass(frozen=True, slots=True)
class DashboardIds:
    """The ids in a run directory, by place: one project of one server."""

    path: Path
    place: str

    @classmethod
    def of(cls, root: Path, base_url: str, tracker: TrackerConfig) -> DashboardIds:
        """Return the ids of a run directory on the server at `base_url`, in the project of
        `tracker`. The mock server of a study has another port each time. An empty
        `base_url` is the public server."""
        server = "mock" if tracker.name == "mock" else (base_url or _PUBLIC).rstrip("/")
        place = "/".join((server, tracker.entity or "", tracker.project or ""))
        return cls(root / FILE, place)

    def read(self) -> dict[str, str]:
        """Return the ids by kind; empty where there are none, or where the file is damaged."""
        return self._all().get(self.place, {})

    def note(self, ids: Mapping[str, str]) -> None:
        """Write ids, and keep those of other kinds and places."""
        every = self._all()
        every[self.place] = self.read() | dict(ids)
        write_whole(self.path, json.dumps(every, indent=1) + "\n")

    def _all(self) -> dict[str, dict[str, str]]:
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            return {str(place): {str(kind): str(one) for kind, one in ids.items()} for place, ids in found.items()}
        except (OSError, ValueError, AttributeError):
            return {}
