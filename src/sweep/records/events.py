"""The rows of a training in events.jsonl: steps and evaluations, appended while it runs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from pydantic import TypeAdapter

from sweep.errors import naming
from sweep.records.disk import write_whole
from sweep.records.trial import EvalPoint, Step

_STEP = TypeAdapter(Step)
_EVAL = TypeAdapter(EvalPoint)
_ROW: TypeAdapter[Step | EvalPoint] = TypeAdapter(Step | EvalPoint)


def append_row(event: Step | EvalPoint, folder: Path) -> None:
    """Append a row to the folder's events.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    path = events_path(folder)
    with naming(path), path.open("a") as file:
        file.write(line_of(event) + "\n")


def replace_rows(events: Iterable[Step | EvalPoint], folder: Path) -> None:
    """Replace the rows of the folder's events.jsonl as a whole."""
    write_whole(events_path(folder), "".join(line_of(event) + "\n" for event in events))


def mended_rows(folder: Path) -> list[Step | EvalPoint]:
    """Return the rows of the folder's events.jsonl, and rewrite it where a line was cut off or
    damaged, so that the next row begins a line."""
    rows, path = read_rows(folder), events_path(folder)
    if path.exists() and path.read_bytes() != "".join(line_of(row) + "\n" for row in rows).encode():
        replace_rows(rows, folder)
    return rows


def events_path(folder: Path) -> Path:
    return folder / "events.jsonl"


def line_of(event: Step | EvalPoint) -> str:
    """Return the line of a row, without a line break."""
    kind = "train" if isinstance(event, Step) else "eval"
    return json.dumps({"type": kind, **_ROW.dump_python(event, mode="json", exclude={"seconds"})})


def read_rows(folder: Path) -> list[Step | EvalPoint]:
    """Return the rows of the folder's events.jsonl, without lines that were cut off or damaged."""
    path = events_path(folder)
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    return [event for line in lines if (event := _row(line)) is not None]


def _row(line: bytes) -> Step | EvalPoint | None:
    """Return the row of a line; None for a line that was cut off or damaged."""
    try:
        row = json.loads(line)
        adapter: TypeAdapter[Step] | TypeAdapter[EvalPoint] = _STEP if row.pop("type") == "train" else _EVAL
        return adapter.validate_python(row)
    except (ValueError, AttributeError, KeyError, TypeError):
        return None
