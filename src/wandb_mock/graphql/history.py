"""The rows of a run as the queries ask for them: sampled, by key, or between two steps."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from wandb_mock.records import Run

JSON = dict[str, Any]


def history_keys(run: Run) -> JSON:
    """Return the names of the logged values, with the number of rows that have each, and the last
    step."""
    counts = Counter(name for row in run.history for name in row)
    keys = {name: {"typeCounts": [{"type": "number", "count": count}]} for name, count in counts.items()}
    last = max((int(row.get("_step", -1)) for row in run.history), default=-1)
    return {"lastStep": last, "keys": keys, "sets": []}


def sampled(rows: Sequence[JSON], samples: int | None) -> list[JSON]:
    """Return at most `samples` rows, evenly spread, with the first and the last."""
    if samples is None or len(rows) <= samples:
        return list(rows)
    if samples < 2:
        return list(rows[:samples])
    return [rows[at * (len(rows) - 1) // (samples - 1)] for at in range(samples)]


def specified(rows: Sequence[JSON], spec: Mapping[str, Any]) -> list[JSON]:
    """Return the rows that a history spec asks for: those that have all its keys, with these keys
    alone.

    A row counts from `minStep` to `maxStep`, both included.
    """
    keys = spec.get("keys") or []
    last = spec.get("maxStep")
    within = between(rows, spec.get("minStep"), None if last is None else last + 1)
    chosen = [row for row in within if all(key in row for key in keys)]
    return [{key: _as_json(row[key]) for key in keys or row} for row in sampled(chosen, spec.get("samples"))]


def _as_json(value: Any) -> Any:
    """Return the name of a number that JSON does not have: NaN and the infinities."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def between(rows: Sequence[JSON], low: int | None, high: int | None) -> list[JSON]:
    """Return the rows from step `low` on and before step `high`."""
    return [
        row
        for row in rows
        if (low is None or row.get("_step", 0) >= low) and (high is None or row.get("_step", 0) < high)
    ]
