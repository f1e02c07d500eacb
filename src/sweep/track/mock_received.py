"""The data that a mock W&B server received, read from its folder (`src/wandb_mock/README.md`
describes the files)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]

_UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError)


@dataclass(frozen=True, slots=True)
class ReceivedRun:
    """One run. `number` is that of its trial, None for a run of a study or a comparison. `rows`
    are in the order of sending."""

    id: str
    group: str
    job_type: str
    number: int | None
    summary: Mapping[str, Any]
    ended: bool
    exit_code: int | None
    rows: tuple[Row, ...]


def received_runs(folder: Path) -> list[ReceivedRun]:
    """Return all runs in `folder`. A run whose record cannot be read is left out, as the server
    leaves it out."""
    runs = []
    for path in sorted(folder.glob("runs/*/*/*/run.json")):
        with suppress(*_UNREADABLE):
            runs.append(_run(path))
    return runs


def unknown_operations(folder: Path) -> int:
    """Return how many requests had an operation that the server does not know."""
    with suppress(*_UNREADABLE):
        return sum(json.loads((folder / "unknown_operations.json").read_text(encoding="utf-8")).values())
    return 0


def _run(path: Path) -> ReceivedRun:
    record = json.loads(path.read_text(encoding="utf-8"))
    trial = record["raw_config"].get("trial", {}).get("value", {})
    return ReceivedRun(
        record["id"], record["group"], record["job_type"], trial.get("number"), record["summary"], record["ended"],
        record["exit_code"], _rows(path.parent / "streams" / "wandb-history.jsonl"),
    )  # fmt: skip


def _rows(journal: Path) -> tuple[Row, ...]:
    """Return the rows of a journal. A line has one row and its place; a row that was sent again
    has the same place."""
    rows: dict[int, Row] = {}
    with suppress(FileNotFoundError):
        for line in journal.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(*_UNREADABLE):  # the process may have ended while it wrote the line
                entry = json.loads(line)
                rows[entry["offset"]] = dict(entry["line"])
    return tuple(rows[place] for place in sorted(rows))
