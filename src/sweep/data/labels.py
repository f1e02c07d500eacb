"""The labels of a task."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sweep.config.schema import Task

Label = int | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LabelSpace:
    """The labels in order: output i of the model is for the label `names[i]`.

    A row's `Label` is that index for single-label, and a tuple with a 0 or 1 for each name for
    multi-label.
    """

    task: Task
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def problem_type(self) -> str:
        """Return the value that transformers expects in `config.problem_type`."""
        return "single_label_classification" if self.task == "single_label" else "multi_label_classification"

    def decided(self, row: Any) -> str | tuple[str, ...]:
        """Return the name of a row's label, for multi-label those of all labels that apply. `row`
        is a `Label`, or the same as an array."""
        if self.task == "single_label":
            return self.names[int(row)]
        return tuple(name for name, on in zip(self.names, row, strict=True) if on)

    def cell(self, row: Any) -> str:
        """Return `decided` as one cell, several names as `joined`."""
        found = self.decided(row)
        return found if isinstance(found, str) else joined(found)


def joined(names: Iterable[str]) -> str:
    """Return names as one cell, separated by `|`.

    A `|` or a backslash in a name is preceded by a backslash.
    """
    return "|".join(re.sub(r"([\\|])", r"\\\1", name) for name in names)


def separated(cell: str) -> tuple[str, ...]:
    """Return the names in a cell that `joined` made."""
    parts = re.findall(r"((?:[^\\|]|\\.)+)", cell, flags=re.DOTALL)
    return tuple(re.sub(r"\\(.)", r"\1", part, flags=re.DOTALL) for part in parts)


def applying(label: Label) -> tuple[int, ...]:
    """Return the indices of the labels that apply to a row."""
    return (label,) if isinstance(label, int) else tuple(code for code, value in enumerate(label) if value)
