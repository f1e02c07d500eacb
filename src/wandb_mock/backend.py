"""The state of the server: runs, artifacts, sweeps, views, links and alerts, in memory and, as
they arrive, in a folder."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from itertools import chain
from pathlib import Path
from typing import Any

from wandb_mock.disk import Disk, listed, read_json, write_json
from wandb_mock.links import Links
from wandb_mock.records import Alert, Artifact, Link, Run, RunKey, Sweep, View, now
from wandb_mock.stream_message import SUMMARY, read_message
from wandb_mock.views import Views

ENTITY = "mock"
PROJECT = "uncategorized"
ORGANIZATION = "mock-organization"


class Backend:
    """Everything that has arrived. Several threads may use it; a thread that makes several reads
    which must agree with each other holds `lock` meanwhile.

    A folder that an earlier server filled is read first. Records that cannot be read are left out
    and named in `skipped`.
    """

    def __init__(self, folder: Path | str) -> None:
        self.disk = Disk(Path(folder))
        self.lock = threading.RLock()
        self.runs: dict[RunKey, Run] = {}
        self.artifacts: dict[str, Artifact] = {}
        self.sweeps: dict[str, Sweep] = {}
        self.views = Views(self.disk)
        self.links = Links(self.disk)
        self.alerts: list[Alert] = []
        self.unknown_operations: Counter[str] = Counter()
        self.skipped: list[Path] = []
        self._resuming: set[RunKey] = set()
        self._load()

    @classmethod
    def open(cls, folder: Path | str) -> Backend:
        """Return a backend with what an earlier one kept. Raises FileNotFoundError where there is
        no such folder."""
        if not Path(folder).is_dir():
            raise FileNotFoundError(folder)
        return cls(folder)

    # runs

    def run(self, entity: str | None, project: str | None, run_id: str | None) -> Run | None:
        """Return the run, None where there is none. Without an entity or a project, the default
        ones are meant."""
        return self.runs.get((entity or ENTITY, project or PROJECT, run_id or ""))

    def run_by_storage_id(self, storage_id: str) -> Run | None:
        """Return the run with this GraphQL id, None where there is none."""
        return next((run for run in self.runs.values() if run.storage_id == storage_id), None)

    def ensure_run(self, entity: str | None, project: str | None, run_id: str) -> tuple[Run, bool]:
        """Return the run, made where there was none, and whether it is new."""
        key = (entity or ENTITY, project or PROJECT, run_id)
        with self.lock:
            if key in self.runs:
                return self.runs[key], False
            run = self.runs[key] = Run(*key, number=len(self.runs) + 1, display_name=run_id)
            return run, True

    def expect_resume(self, run: Run) -> None:
        """Note that the client asked where the run stopped: the start that follows goes on from
        there."""
        with self.lock:
            self._resuming.add(run.key)

    def start_anew(self, run: Run) -> None:
        """Forget the rows and the summary of an earlier run with this id, unless the client is
        about to resume it."""
        with self.lock:
            if run.key not in self._resuming:
                run.streams.clear()
                run.summary = {}
                self.disk.drop_streams(run.key)

    def update_run(self, run: Run, changes: Mapping[str, Any]) -> None:
        """Set the fields that are in `changes` and not None there. Raises ValueError, and sets
        none, where one is malformed."""
        with self.lock:
            given = {name: value for name, value in changes.items() if value is not None}
            replace(run, **given).check()
            for name, value in given.items():
                setattr(run, name, value)
            run.heartbeat_at = now()
            self._keep_run(run)

    def stream(self, key: RunKey, message: Mapping[str, Any]) -> None:
        """Take one `file_stream` message: chunks of files, a sign of life, or the end of the run.

        Raises ValueError or TypeError, and takes nothing, where the message is malformed.
        """
        read = read_message(message)
        with self.lock:
            run, _ = self.ensure_run(*key)
            self._resuming.discard(key)
            for name, (offset, lines) in read.chunks.items():
                self._stream_file(run, name, offset, lines)
            run.ended = read.complete
            run.exit_code = read.exit_code if run.ended else None
            run.heartbeat_at = now()
            self._keep_run(run)

    def _stream_file(self, run: Run, name: str, offset: int, lines: list[Any]) -> None:
        if name == SUMMARY:
            run.summary = lines[-1]  # each line is the whole summary
            return
        if fresh := run.stream(name).put(offset, lines):
            self.disk.append_lines(run.key, name, fresh)

    def _keep_run(self, run: Run) -> None:
        write_json(self.disk.run(run.key) / "run.json", _record(run))

    def projects(self) -> list[tuple[str, str]]:
        """Return the entity and the name of each project that has a run, an artifact, a sweep or a
        view."""
        with self.lock:
            homes: Iterable[Run | Artifact | Sweep | View] = chain(
                self.runs.values(), self.artifacts.values(), self.sweeps.values(), self.views
            )
            return sorted({(home.entity, home.project) for home in homes})

    def runs_of(self, entity: str, project: str) -> list[Run]:
        """Return the runs of a project in the order in which they were started."""
        with self.lock:
            chosen = [run for run in self.runs.values() if (run.entity, run.project) == (entity, project)]
        return sorted(chosen, key=lambda run: run.number)

    # files

    def run_files(self, run: Run) -> list[str]:
        """Return the names of the files that were uploaded for a run."""
        return listed(self.disk.run(run.key) / "files")

    def artifact_files(self, artifact: Artifact) -> dict[str, Artifact]:
        """Return the files of an artifact by name, each with the version that it was uploaded
        with: the client uploads no file twice."""
        entries = self._manifest(artifact).items()
        births = {name: self.artifacts.get(entry.get("birthArtifactID", ""), artifact) for name, entry in entries}
        return {name: birth for name, birth in births.items() if self.artifact_file(birth, name).is_file()}

    def artifact_file(self, birth: Artifact, name: str) -> Path:
        """Return where a file is that was uploaded with the version `birth`."""
        return self.disk.artifact_file(birth.number, name)

    def _manifest(self, artifact: Artifact) -> dict[str, dict[str, Any]]:
        path = self.disk.manifest(artifact.number)
        return dict(read_json(path)["contents"]) if path.is_file() else {}

    def place(self, arrived: Path, target: Path) -> None:
        """Move a file that has arrived whole to its place."""
        with self.lock:
            target.parent.mkdir(parents=True, exist_ok=True)
            arrived.replace(target)

    # artifacts

    def create_artifact(self, wanted: Artifact, run: RunKey | None) -> Artifact:
        """Return the artifact with the content of `wanted`: one that is there, or a draft, to be
        filled and committed."""
        with self.lock:
            artifact = next((kept for kept in self.artifacts.values() if _same_content(kept, wanted)), wanted)
            artifact.wanted_aliases = list(dict.fromkeys([*artifact.wanted_aliases, *wanted.wanted_aliases]))
            self.artifacts[artifact.id] = artifact
            if run and run not in artifact.logged_by:
                artifact.logged_by.append(run)
            if artifact.version is not None:
                self._move_aliases(artifact)
            self._keep_artifact(artifact)
            return artifact

    def next_artifact_number(self) -> int:
        """Return a number that no artifact has."""
        return max((artifact.number for artifact in self.artifacts.values()), default=0) + 1

    def commit_artifact(self, artifact: Artifact) -> None:
        """Make a draft the newest version of its collection, and give it its aliases."""
        with self.lock:
            if artifact.version is None:
                artifact.version = len(self.versions(artifact.entity, artifact.project, artifact.collection))
                self._move_aliases(artifact)
            self._keep_artifact(artifact)

    def use_artifact(self, artifact: Artifact, run: RunKey) -> None:
        """Note that a run has used an artifact."""
        with self.lock:
            if run not in artifact.used_by:
                artifact.used_by.append(run)
            self._keep_artifact(artifact)

    def versions(self, entity: str, project: str, collection: str) -> list[Artifact]:
        """Return the committed versions of a collection, oldest first."""
        home = (entity, project, collection)
        kept = [one for one in self.artifacts.values() if one.home == home]
        return sorted((one for one in kept if one.version is not None), key=lambda one: one.version or 0)

    def artifact_by_name(self, entity: str, project: str, name: str) -> Artifact | None:
        """Return the version that `COLLECTION`, `COLLECTION:v3` or `COLLECTION:ALIAS` names, None
        where there is none."""
        collection, _, alias = name.partition(":")
        alias = alias or "latest"
        versions = self.versions(entity, project, collection)
        return next((one for one in versions if alias in (f"v{one.version}", *one.aliases)), None)

    def _move_aliases(self, artifact: Artifact) -> None:
        """Give a version its aliases and `latest`, and take them from the others: an alias names
        one version."""
        moved = {"latest", *artifact.wanted_aliases}
        for other in self.versions(artifact.entity, artifact.project, artifact.collection):
            if other is not artifact and moved.intersection(other.aliases):
                other.aliases = [alias for alias in other.aliases if alias not in moved]
                self._keep_artifact(other)
        artifact.aliases = sorted(moved.union(artifact.aliases))

    def _keep_artifact(self, artifact: Artifact) -> None:
        write_json(self.disk.artifact(artifact.number) / "artifact.json", _record(artifact))

    # sweeps, alerts, and what was not understood

    def keep_sweep(self, sweep: Sweep) -> None:
        """Add a sweep, or write one that has changed."""
        with self.lock:
            self.sweeps[sweep.name] = sweep
            write_json(self.disk.sweep(sweep.name), _record(sweep))

    def sweeps_of(self, entity: str, project: str) -> list[Sweep]:
        """Return the sweeps of a project in the order in which they were made."""
        kept = [one for one in self.sweeps.values() if (one.entity, one.project) == (entity, project)]
        return sorted(kept, key=lambda one: one.created_at)

    def runs_of_sweep(self, sweep: Sweep) -> list[Run]:
        """Return the runs of a sweep in the order in which they were started."""
        return [run for run in self.runs_of(sweep.entity, sweep.project) if run.sweep == sweep.name]

    def keep_alert(self, alert: Alert) -> None:
        """Add an alert."""
        with self.lock:
            self.alerts.append(alert)
            write_json(self.disk.alerts, [asdict(one) for one in self.alerts])

    def count_unknown(self, operation: str) -> None:
        """Count a request for an operation that the server does not know."""
        with self.lock:
            self.unknown_operations[operation] += 1
            write_json(self.disk.unknown_operations, self.unknown_operations)

    # loading

    def _load(self) -> None:
        for path in self.disk.run_records():
            with self._skipping(path):
                run = Run(**read_json(path))
                run.check()
                for name, lines in self.disk.streams(run.key):
                    for place, line in lines:
                        run.stream(name).put(place, [line])
                self.runs[run.key] = run
        for path in self.disk.artifact_records():
            with self._skipping(path):
                artifact = Artifact(**read_json(path))
                artifact.logged_by = [(one[0], one[1], one[2]) for one in artifact.logged_by]
                artifact.used_by = [(one[0], one[1], one[2]) for one in artifact.used_by]
                self.artifacts[artifact.id] = artifact
        for path in self.disk.sweep_records():
            with self._skipping(path):
                sweep = Sweep(**read_json(path))
                self.sweeps[sweep.name] = sweep
        for path in self.disk.view_records():
            with self._skipping(path):
                self.views.add(View(**read_json(path)))
        if self.disk.links.exists():
            with self._skipping(self.disk.links):
                for link in read_json(self.disk.links):
                    self.links.add(Link(**link))
        if self.disk.alerts.exists():
            with self._skipping(self.disk.alerts):
                self.alerts = [Alert(**alert | {"run": tuple(alert["run"])}) for alert in read_json(self.disk.alerts)]
        if self.disk.unknown_operations.exists():
            with self._skipping(self.disk.unknown_operations):
                self.unknown_operations.update(read_json(self.disk.unknown_operations))

    @contextmanager
    def _skipping(self, path: Path) -> Iterator[None]:
        try:
            yield
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            self.skipped.append(path)


def _same_content(kept: Artifact, wanted: Artifact) -> bool:
    """Return whether `wanted` need not be sent: W&B makes no new version of content that its
    collection already has.

    A draft is the same where the client sends its request again because the answer was lost.
    """
    same_home = kept.home == wanted.home
    same_request = bool(wanted.client_id) and kept.client_id == wanted.client_id
    return same_home and kept.digest == wanted.digest and (kept.version is not None or same_request)


def _record(kept: Run | Artifact | Sweep) -> dict[str, Any]:
    """Return the fields for the record on disk, less the streams of a run, which have files of
    their own."""
    return {each.name: getattr(kept, each.name) for each in fields(kept) if each.name != "streams"}
