"""Filters and orders of `wandb.Api().runs`. A filter is a query in the language of MongoDB."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wandb_mock.records import Run

_MISSING = object()

# A field has one name in the API's answers and may have another one in W&B's data base; filters
# use both.
_FIELDS: dict[str, Callable[[Run], Any]] = {
    "name": lambda run: run.id,
    "display_name": lambda run: run.display_name,
    "displayName": lambda run: run.display_name,
    "state": lambda run: run.state,
    "group": lambda run: run.group or None,
    "jobType": lambda run: run.job_type or None,
    "job_type": lambda run: run.job_type or None,
    "tags": lambda run: run.tags,
    "notes": lambda run: run.notes,
    "sweep": lambda run: run.sweep or None,
    "host": lambda run: run.host,
    "username": lambda run: run.entity,
    "created_at": lambda run: run.created_at,
    "createdAt": lambda run: run.created_at,
    "heartbeat_at": lambda run: run.heartbeat_at,
    "heartbeatAt": lambda run: run.heartbeat_at,
}


class UnknownFilterError(ValueError):
    """A filter or an order that the server does not know. An error is better than the wrong
    runs."""


def selected(runs: Sequence[Run], condition: Mapping[str, Any]) -> list[Run]:
    """Return the runs for which the filter holds. Raises UnknownFilterError."""
    return [run for run in runs if _holds(run, condition)]


def ordered(runs: Sequence[Run], order: str) -> list[Run]:
    """Return the runs in the order of one field; `-` before it means descending. Runs without the
    field come last.

    Raises UnknownFilterError.
    """
    descending, field = order.startswith("-"), order.lstrip("+-")
    with_field = [run for run in runs if _value(run, field) not in (None, _MISSING)]
    without = [run for run in runs if _value(run, field) in (None, _MISSING)]
    return sorted(with_field, key=lambda run: _rank(_value(run, field)), reverse=descending) + without


def _rank(value: Any) -> tuple[int, Any]:
    """Return a sort key for values of different types: numbers come before texts."""
    return (0, value) if isinstance(value, int | float) else (1, str(value))


def _holds(run: Run, condition: Mapping[str, Any]) -> bool:
    return all(_clause_holds(run, key, wanted) for key, wanted in condition.items())


def _clause_holds(run: Run, key: str, wanted: Any) -> bool:
    match key:
        case "$and":
            return all(_holds(run, each) for each in wanted)
        case "$or":
            return any(_holds(run, each) for each in wanted)
        case "$nor":
            return not any(_holds(run, each) for each in wanted)
        case "$not":
            return not _holds(run, wanted)
    return _matches(_value(run, key), wanted)


def _value(run: Run, field: str) -> Any:
    if field in _FIELDS:
        return _FIELDS[field](run)
    root, _, rest = field.partition(".")
    if root == "config":
        found = _at(run.config, rest)
        # The data base stores a config entry as `{"value": …}`; a filter may name it with
        # `.value` or without.
        return _at(run.config, rest.removesuffix(".value")) if found is _MISSING else found
    if root in ("summary_metrics", "summaryMetrics", "summary"):
        return _at(run.summary, rest)
    raise UnknownFilterError(f"cannot filter or order runs by {field!r}")


def _at(tree: Any, path: str) -> Any:
    """Return the value at a dotted path, where a key may contain dots itself; `_MISSING` where
    there is none."""
    if not isinstance(tree, Mapping):
        return _MISSING
    if path in tree:
        return tree[path]
    for place, sign in enumerate(path):
        if sign == "." and path[:place] in tree:
            found = _at(tree[path[:place]], path[place + 1 :])
            if found is not _MISSING:
                return found
    return _MISSING


def _matches(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping) and any(key.startswith("$") for key in wanted):
        return all(_operator_holds(value, operator, operand) for operator, operand in wanted.items())
    if wanted is None:
        return value is None or value is _MISSING
    return bool(value == wanted) or (isinstance(value, list) and wanted in value)


def _operator_holds(value: Any, operator: str, operand: Any) -> bool:
    match operator:
        case "$eq":
            return _matches(value, operand)
        case "$ne":
            return not _matches(value, operand)
        case "$in":
            return any(_matches(value, each) for each in operand)
        case "$nin":
            return not any(_matches(value, each) for each in operand)
        case "$not":
            return not _matches(value, operand)
        case "$exists":
            return (value is not _MISSING) == bool(operand)
        case "$regex":
            return isinstance(value, str) and re.search(operand, value) is not None
        case "$gt" | "$gte" | "$lt" | "$lte":
            return _compares(value, operator, operand)
    raise UnknownFilterError(f"unknown filter operator {operator!r}")


def _compares(value: Any, operator: str, operand: Any) -> bool:
    if value is None or value is _MISSING or _rank(value)[0] != _rank(operand)[0]:
        return False
    left, right = _rank(value), _rank(operand)
    return {"$gt": left > right, "$gte": left >= right, "$lt": left < right, "$lte": left <= right}[operator]
