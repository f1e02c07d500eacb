"""Searches with a toy engine: `searched` runs one to its end."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sweep.records.trial import TrialRecord
from sweep.study.search import search

from .toys import ToyEngine, session

PLAIN = ("study.pruner=none",)


@dataclass(frozen=True)
class Whole:
    """A study that ran to its end without a stop, in `folder / "run"`."""

    folder: Path
    records: list[TrialRecord]


Undisturbed = Callable[..., Whole]


def searched(folder: Path, *overrides: str, engine: ToyEngine | None = None) -> list[TrialRecord]:
    """Return the records of a study in `folder / "run"`, which a second call resumes."""
    with session(folder, *overrides, engine=engine) as opened:
        return search(opened)


def points(records: list[TrialRecord]) -> list[str]:
    """Return the searched values of each record, as text that can be compared and sorted."""
    return [json.dumps(dict(record.params)) for record in records]
