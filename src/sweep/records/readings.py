"""The readings of the test split, one line each in test_readings.jsonl."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any


def noted_reading(line: bytes) -> Mapping[str, Any]:
    """Return one noted reading of the test split; empty for a line that cannot be read."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) and {"trial", "chosen"} <= found.keys() else {}


def count_readings(noted: Iterable[Mapping[str, Any]]) -> int:
    """Return the number of readings, of which models that were chosen together share one."""
    count, choice, read = 0, None, set[Any]()
    for one in noted:
        if not one or one["chosen"] != choice or one["trial"] in read:
            count, choice, read = count + 1, one.get("chosen"), set()
        read.add(one.get("trial"))
    return count
