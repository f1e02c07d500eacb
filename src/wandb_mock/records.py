"""Runs, artifacts, their links, sweeps, views and alerts as the server keeps them. Their fields
can be written as JSON and read back."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from wandb_mock.stream_message import EVENTS, HISTORY

RunKey = tuple[str, str, str]

# W&B calls a run crashed after some minutes without a message; the client sends one every 30 s.
CRASHED_AFTER_S = 300.0

# Entries that the client adds to a config for its own use.
_CLIENT_KEYS = frozenset({"_wandb", "wandb_version"})


def now() -> str:
    """Return the time as the W&B API writes it, in UTC. Sorted as texts, such times are in
    order."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def global_id(kind: str, *parts: object) -> str:
    """Return a GraphQL id. It has to be base64, since the client converts artifact ids to
    hexadecimal and back."""
    return base64.b64encode(":".join([kind, *map(str, parts)]).encode()).decode()


class Stream:
    """The lines of a streamed file, each at its place.

    The client numbers the lines, and sends a chunk again when the answer was lost. A line is kept
    by its number, so that a repeated line changes nothing and a late one gets its place.
    """

    def __init__(self) -> None:
        self._lines: dict[int, Any] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and self._lines == other._lines

    def put(self, offset: int, lines: Sequence[Any]) -> list[tuple[int, Any]]:
        """Keep `lines` from place `offset` on. Return those that are new or changed, with their
        places."""
        fresh = [(at, line) for at, line in enumerate(lines, offset) if self._lines.get(at, self) != line]
        self._lines.update(fresh)
        return fresh

    @property
    def end(self) -> int:
        """The place after the last line, from which a resumed run goes on."""
        return max(self._lines, default=-1) + 1

    @property
    def gaps(self) -> int:
        """The number of lines before the last one that have not arrived."""
        return self.end - len(self._lines)

    def __iter__(self) -> Iterator[Any]:
        return (self._lines[place] for place in sorted(self._lines))


@dataclass
class Run:
    """A run. `number` counts the runs of the server; `raw_config` is the config as the client
    sends it; `streams` holds the streamed files by name."""

    entity: str
    project: str
    id: str
    number: int
    display_name: str = ""
    group: str = ""
    job_type: str = ""
    tags: list[str] = field(default_factory=list)
    notes: str = ""
    sweep: str = ""
    host: str = ""
    program: str = ""
    commit: str = ""
    repo: str = ""
    raw_config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    ended: bool = False
    exit_code: int | None = None
    created_at: str = field(default_factory=now)
    heartbeat_at: str = field(default_factory=now)
    streams: dict[str, Stream] = field(default_factory=dict, repr=False)

    def check(self) -> None:
        """Raises ValueError where a field has a value that no client sends. The pages and answers
        rely on the types."""
        kinds = {
            str: ("entity", "project", "id", "display_name", "group", "job_type", "notes", "sweep", "host", "program",
                  "commit", "repo", "created_at", "heartbeat_at"),
            dict: ("raw_config", "summary"),
            list: ("tags",),
            bool: ("ended",),
            int: ("number",),
        }  # fmt: skip
        wrong = [name for kind, names in kinds.items() for name in names if not isinstance(getattr(self, name), kind)]
        if wrong or not all(isinstance(tag, str) for tag in self.tags) or not isinstance(self.exit_code, int | None):
            raise ValueError(f"not a run: {', '.join(wrong) or 'tags or exit_code'}")
        for moment in (self.created_at, self.heartbeat_at):
            datetime.fromisoformat(moment).astimezone(UTC)

    @property
    def key(self) -> RunKey:
        """Entity, project and id."""
        return self.entity, self.project, self.id

    @property
    def storage_id(self) -> str:
        return global_id("Run", "v1", self.id, self.project, self.entity)

    @property
    def state(self) -> str:
        """`running`, `finished`, `failed` (by the exit code) or `crashed` (no message for
        minutes)."""
        if self.ended:
            return "failed" if self.exit_code else "finished"
        silence = datetime.now(UTC) - datetime.fromisoformat(self.heartbeat_at)
        return "crashed" if silence.total_seconds() > CRASHED_AFTER_S else "running"

    @property
    def config(self) -> dict[str, Any]:
        """The config as the user gave it. The client sends each entry as `{"value": …}`."""
        plain = {name: entry for name, entry in self.raw_config.items() if name not in _CLIENT_KEYS}
        return {name: _unwrapped(entry) for name, entry in plain.items()}

    def stream(self, name: str) -> Stream:
        """Return a streamed file; an empty one where nothing of it has arrived."""
        return self.streams.setdefault(name, Stream())

    @property
    def history(self) -> list[dict[str, Any]]:
        """The rows that were logged, in order."""
        return list(self.stream(HISTORY))

    @property
    def events(self) -> list[dict[str, Any]]:
        """The rows of machine metrics, in order."""
        return list(self.stream(EVENTS))


def _unwrapped(entry: Any) -> Any:
    return entry["value"] if isinstance(entry, Mapping) and "value" in entry else entry


@dataclass
class Artifact:
    """A version of a collection, or the draft of one: `version` is None until it is committed.
    `number` counts the artifacts of the server, `digest` identifies the content."""

    number: int
    entity: str
    project: str
    type: str
    collection: str
    digest: str
    digest_algorithm: str = "MANIFEST_MD5"
    client_id: str = ""
    description: str | None = None
    metadata: str | None = None
    history_step: int | None = None
    wanted_aliases: list[str] = field(default_factory=list)
    aliases: list[str] = field(default_factory=list)
    version: int | None = None
    logged_by: list[RunKey] = field(default_factory=list)
    used_by: list[RunKey] = field(default_factory=list)
    created_at: str = field(default_factory=now)

    @property
    def id(self) -> str:
        return global_id("Artifact", self.number)

    @property
    def home(self) -> tuple[str, str, str]:
        """The entity, the project and the collection of which this is a version."""
        return self.entity, self.project, self.collection

    @property
    def manifest_id(self) -> str:
        return global_id("ArtifactManifest", self.number)

    @property
    def state(self) -> str:
        return "PENDING" if self.version is None else "COMMITTED"

    @property
    def name(self) -> str:
        return f"{self.collection}:v{self.version}"


@dataclass
class Sweep:
    """A W&B sweep. `config` is the text that the client sent."""

    entity: str
    project: str
    name: str
    config: str = ""
    display_name: str = ""
    description: str = ""
    state: str = "RUNNING"
    created_at: str = field(default_factory=now)

    @property
    def id(self) -> str:
        return global_id("Sweep", self.name, self.project, self.entity)


@dataclass
class View:
    """A saved workspace view (`type` is `project-view`) or a report (`runs`; a draft is
    `runs/draft`). `spec` is the text that the client sent. `number` counts the views of the
    server."""

    number: int
    entity: str
    project: str
    name: str = ""
    type: str = ""
    display_name: str = ""
    description: str = ""
    spec: str = "{}"
    created_at: str = field(default_factory=now)
    updated_at: str = field(default_factory=now)

    @property
    def id(self) -> str:
        return global_id("View", self.number)


@dataclass
class Link:
    """A version of an artifact as a member of a collection of a registry. `version` counts the
    members of the collection."""

    entity: str
    project: str
    collection: str
    version: int
    artifact_id: str
    aliases: list[str] = field(default_factory=list)
    created_at: str = field(default_factory=now)

    @property
    def home(self) -> tuple[str, str, str]:
        """The entity, the project and the collection."""
        return self.entity, self.project, self.collection


@dataclass
class Alert:
    """A message of a run to its user."""

    run: RunKey
    title: str
    text: str
    level: str
    created_at: str = field(default_factory=now)
