"""The folder of a server: JSON and JSON lines, under names that any file system takes (README.md
lists the files)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote

from wandb_mock.records import RunKey


class Disk:
    """The places of all files in `folder`, which is made where it is absent. Uploads on their way
    are in `incoming`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.incoming = folder / "incoming"
        self.incoming.mkdir(parents=True, exist_ok=True)

    def run(self, key: RunKey) -> Path:
        return self.folder.joinpath("runs", *map(_plain, key))

    def run_file(self, key: RunKey, name: str) -> Path:
        return within(self.run(key) / "files", name)

    def artifact(self, number: int) -> Path:
        return self.folder / "artifacts" / str(number)

    def artifact_file(self, number: int, name: str) -> Path:
        return within(self.artifact(number) / "files", name)

    def manifest(self, number: int) -> Path:
        return self.artifact(number) / "manifest.json"

    def sweep(self, name: str) -> Path:
        return self.folder / "sweeps" / f"{_plain(name)}.json"

    def view(self, number: int) -> Path:
        return self.folder / "views" / f"{number}.json"

    @property
    def links(self) -> Path:
        return self.folder / "links.json"

    @property
    def alerts(self) -> Path:
        return self.folder / "alerts.json"

    @property
    def unknown_operations(self) -> Path:
        return self.folder / "unknown_operations.json"

    def run_records(self) -> list[Path]:
        return sorted(self.folder.glob("runs/*/*/*/run.json"))

    def artifact_records(self) -> list[Path]:
        return sorted(self.folder.glob("artifacts/*/artifact.json"))

    def sweep_records(self) -> list[Path]:
        return sorted(self.folder.glob("sweeps/*.json"))

    def view_records(self) -> list[Path]:
        return sorted(self.folder.glob("views/*.json"))

    def append_lines(self, key: RunKey, stream: str, lines: Iterable[tuple[int, Any]]) -> None:
        """Append lines, each with its place in the stream, to the journal of a stream."""
        path = self.run(key) / "streams" / _plain(stream)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as journal:
            journal.writelines(json.dumps({"offset": at, "line": line}) + "\n" for at, line in lines)

    def drop_streams(self, key: RunKey) -> None:
        """Delete the journals of a run."""
        for path in (self.run(key) / "streams").glob("*"):
            path.unlink()

    def streams(self, key: RunKey) -> Iterator[tuple[str, Iterator[tuple[int, Any]]]]:
        """Yield the name of each stream of a run, with its lines and their places in the order of
        arrival."""
        for path in sorted((self.run(key) / "streams").glob("*")):
            yield unquote(path.name), _journal(path)


def _journal(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield the lines that are whole: the process may have ended while it wrote one."""
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            match json.loads(text):
                case {"offset": int(place), "line": line} if isinstance(line, dict) or not path.name.endswith(".jsonl"):
                    yield place, line
        except (ValueError, RecursionError):
            continue


def _plain(name: str) -> str:
    """Return `name` as one part of a path. `quote` keeps dots, and `..` must not lead out of the
    folder."""
    return quote(name, safe=" ") if name.strip(".") else name.replace(".", "%2E")


def within(folder: Path, name: str) -> Path:
    """Return the path of `name` inside `folder`. Raises ValueError where it would lie outside."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts:
        raise ValueError(f"not a file name inside a folder: {name!r}")
    return folder.joinpath(*parts)


def listed(folder: Path) -> list[str]:
    """Return the files under `folder` as relative names with forward slashes."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a file whole or not at all, so that nobody reads half a record."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)
