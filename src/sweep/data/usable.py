"""The usable rows of a stored split, and the numbers of rows left out by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Set

from sweep.data.columns import Columns
from sweep.data.raw import listed
from sweep.data.select import Indices

# The reason in words, by the config key that leaves rows out.
_SAYS = {
    "blank": "have no text",
    "unlabelled": "have no label",
    "unknown_labels": "have a label that is not among those of the task",
    "duplicates": "have the text of a validation or test row or of an earlier train row",
}


def usable(columns: Columns, indices: Indices, labels: Set[str]) -> tuple[Indices, dict[str, int]]:
    """Return the indices of the rows with a text and a known label, and the number of the others
    by reason."""
    reasons = {index: reason for index in indices if (reason := _reason(columns, index, labels))}
    counts = Counter(reasons.values())
    return tuple(index for index in indices if index not in reasons), {
        reason: counts[reason] for reason in _SAYS if counts[reason]
    }


def unknown_among(columns: Columns, indices: Indices, labels: Set[str]) -> list[str]:
    """Return the names in these rows that are no labels of the task, sorted."""
    return sorted({name for index in indices for name in columns.labels[index] or () if name not in labels})


def drop_note(role: str, dropped: int, reason: str, total: int, unknown: list[str]) -> str:
    """Return a note on the rows of a role that were left out for one reason."""
    names = f" ({listed([repr(name) for name in unknown], 5)})" if reason == "unknown_labels" else ""
    return f"{dropped} of {total} {role} rows {_SAYS[reason]}{names} and are left out"


def _reason(columns: Columns, index: int, labels: Set[str]) -> str:
    names = columns.labels[index]
    if index in columns.blank:
        return "blank"
    if names is None:
        return "unlabelled"
    return "" if all(name in labels for name in names) else "unknown_labels"
