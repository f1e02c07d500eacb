"""The rows of a training in events.jsonl: steps and evaluations, appended while it runs."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import TypeAdapter

from sweep.errors import naming
from sweep.records.trial import EvalPoint, Step

_STEP = TypeAdapter(Step)
_EVAL = TypeAdapter(EvalPoint)
_ROW: TypeAdapter[Step | EvalPoint] = TypeAdapter(Step | EvalPoint)


def append_row(event: Step | EvalPoint, folder: Path) -> None:
    """Append a row to the folder's events.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    kind = "train" if isinstance(event, Step) else "eval"
    row = {"type": kind, **_ROW.dump_python(event, mode="json", exclude={"seconds"})}
    path = folder / "events.jsonl"
    with naming(path), path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def read_rows(folder: Path) -> list[Step | EvalPoint]:
    """Return the rows of the folder's events.jsonl, without lines that were cut off or damaged."""
    path = folder / "events.jsonl"
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
