"""What the backend keeps of a run, an artifact and a sweep, in a form that goes to JSON and back."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

RunKey = tuple[str, str, str]

# W&B calls a run crashed when it was not heard of for some minutes; the client gives a sign every 30 s.
CRASHED_AFTER_S = 300.0

# What the client adds to a config for its own use.
_CLIENT_KEYS = frozenset({"_wandb", "wandb_version"})


def now() -> str:
    """The time in the form of the W&B API: UTC, and sorting as text sorts by time."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def global_id(kind: str, *parts: object) -> str:
    """An opaque id. It has to be base64: the client turns artifact ids into hexadecimal and back."""
    return base64.b64encode(":".join([kind, *map(str, parts)]).encode()).decode()


class Stream:
    """The lines of a streamed file, each at its place.

    The client numbers what it sends and sends a chunk again whenever it missed the answer: a line is kept by
    its place, so that the same line again changes nothing and a late one comes where it belongs.
    """

    def __init__(self) -> None:
        self._lines: dict[int, Any] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and self._lines == other._lines

    def put(self, offset: int, lines: Sequence[Any]) -> list[tuple[int, Any]]:
        """Keep `lines` from `offset` on; gives back those that were not known yet, with their places."""
        fresh = [(at, line) for at, line in enumerate(lines, offset) if self._lines.get(at, self) != line]
        self._lines.update(fresh)
        return fresh

    @property
    def end(self) -> int:
        """The place after the last line, where a resumed run goes on."""
        return max(self._lines, default=-1) + 1

    @property
    def gaps(self) -> int:
        """How many lines before the last one never arrived."""
        return self.end - len(self._lines)

    def __iter__(self) -> Iterator[Any]:
        return (self._lines[place] for place in sorted(self._lines))


@dataclass
class Run:
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
        """Raises ValueError where a field holds what no client sends; the pages and answers rely on it."""
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
        return self.entity, self.project, self.id

    @property
    def storage_id(self) -> str:
        return global_id("Run", "v1", self.id, self.project, self.entity)

    @property
    def state(self) -> str:
        if self.ended:
            return "failed" if self.exit_code else "finished"
        silence = datetime.now(UTC) - datetime.fromisoformat(self.heartbeat_at)
        return "crashed" if silence.total_seconds() > CRASHED_AFTER_S else "running"

    @property
    def config(self) -> dict[str, Any]:
        """The config as the user gave it, out of its `{"value": …}` wrapping."""
        plain = {name: entry for name, entry in self.raw_config.items() if name not in _CLIENT_KEYS}
        return {name: _unwrapped(entry) for name, entry in plain.items()}

    def stream(self, name: str) -> Stream:
        return self.streams.setdefault(name, Stream())

    @property
    def history(self) -> list[dict[str, Any]]:
        return list(self.stream("wandb-history.jsonl"))

    @property
    def events(self) -> list[dict[str, Any]]:
        """The machine metrics."""
        return list(self.stream("wandb-events.jsonl"))


def _unwrapped(entry: Any) -> Any:
    return entry["value"] if isinstance(entry, Mapping) and "value" in entry else entry


@dataclass
class Artifact:
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
        """The collection of which this is a version."""
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
