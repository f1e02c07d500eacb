"""Addresses of uploads and downloads, and the files that they lead to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from wandb_mock.disk import Disk
from wandb_mock.records import Artifact, Run


def run_file_url(url: str, run: Run, name: str) -> str:
    """Return the address of a file of a run. `url` is that of the server; empty for a link on one
    of its pages."""
    return "/".join([url, "storage", "runs", *(quote(part, safe="") for part in run.key), quote(name)])


def artifact_file_url(url: str, artifact: Artifact, name: str) -> str:
    """Return the address of a file of an artifact."""
    return f"{url}/storage/artifacts/{artifact.number}/{quote(name)}"


def manifest_url(url: str, artifact: Artifact) -> str:
    """Return the address of an artifact's manifest, which lists its files."""
    return f"{url}/storage/manifests/{artifact.number}"


def stored(disk: Disk, parts: Sequence[str]) -> Path | None:
    """Return the file at an address, given as the unquoted parts after `/storage/`; None where
    the address has no file."""
    try:
        match parts:
            case ["runs", entity, project, run, *name]:
                return disk.run_file((entity, project, run), "/".join(name))
            case ["artifacts", number, *name]:
                return disk.artifact_file(int(number), "/".join(name))
            case ["manifests", number]:
                return disk.manifest(int(number))
    except ValueError:
        return None
    return None
