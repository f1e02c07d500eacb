"""The amounts that the searches of a study have used up, in `budget.json`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from sweep.config.budget import BudgetConfig
from sweep.records.disk import write_whole
from sweep.records.migrations import stamped

_NAME = "budget.json"


@dataclass(frozen=True, slots=True)
class Spent:
    """The amounts used up over all runs of a study: wall-clock seconds of its searches, seconds of
    all devices that its trials trained on, and the number of trials that started."""

    seconds: float = 0.0
    device_seconds: float = 0.0
    trials: int = 0

    @property
    def device_hours(self) -> float:
        return self.device_seconds / 3600


@dataclass(frozen=True, slots=True)
class Limited:
    """A limit of the budget, by its key in `study.budget` (hours of devices, wall-clock seconds or
    trials), what was used up of it, and what is left."""

    key: str
    spent: float
    limit: float
    left: float

    def __str__(self) -> str:
        return f"{amount_text(self.spent)} of {amount_text(self.limit)} {self.key.replace('_', ' ')}"


def limited(budget: BudgetConfig, spent: Spent) -> tuple[Limited, ...]:
    """Return the limits that are set."""
    found = []
    for key in ("device_hours", "seconds", "trials"):
        limit, used = getattr(budget, key), getattr(spent, key)
        if limit is not None:
            found.append(Limited(key, used, limit, left=max(limit - used, 0.0)))
    return tuple(found)


def amount_text(amount: float) -> str:
    """Return an amount with at most two digits after the point, and more below a hundredth."""
    return f"{amount:.2g}" if 0 < amount < 0.01 else f"{amount:,.2f}".rstrip("0").rstrip(".")


_SPENT = TypeAdapter(Spent)


def read_spent(root: Path) -> Spent | None:
    """Return the note in the run directory `root`; None where there is none or it is damaged."""
    path = root / _NAME
    try:
        return _SPENT.validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def write_spent(root: Path, spent: Spent) -> None:
    """Write or replace the note. Raises OSError."""
    write_whole(root / _NAME, json.dumps(stamped(_SPENT.dump_python(spent, mode="json")), indent=2) + "\n")
