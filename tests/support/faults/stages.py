"""The part of a study that runs, as its run directory shows it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path


class Stage(StrEnum):
    """A part of a study, in the order in which they run."""

    START = "start-up"  # the run directory is not opened yet
    SEARCH = "search"
    CONFIRMATION = "fresh seeds"
    RETRAINING = "retraining"
    REFIT = "refit"
    READING = "test reading"
    END = "end"  # the final record is written: the report is left
    AFTER = "command after it"  # such as an export


_UNFINISHED = (("refit", Stage.REFIT), ("retrain", Stage.RETRAINING), ("confirm", Stage.CONFIRMATION))


def stage(run: Path, *, opened: bool, readings: int) -> Stage:
    """Return the part that runs. `readings` is the number of noted test readings at the program's
    start, `opened` whether it has opened the run directory since."""
    if not opened:
        return Stage.START
    if (run / "final" / "record.json").exists():
        return Stage.END
    if noted_readings(run) > readings:
        return Stage.READING
    for kind, found in _UNFINISHED:
        if any(run.glob(f"unfinished/{kind}-*")):
            return found
    return Stage.REFIT if any(run.glob("retrained/*/record.json")) else Stage.SEARCH


def noted_readings(run: Path) -> int:
    """Return the number of test readings that are noted: a line is written before each."""
    path = run / "test_readings.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def ended_trainings(run: Path) -> list[str]:
    """Return a name for each training of the study that has a record."""
    patterns = ("trials/*/record.json", "confirm/*.json", "retrained/*/record.json", "final/record.json")
    return [str(path.relative_to(run)) for pattern in patterns for path in sorted(run.glob(pattern))]
