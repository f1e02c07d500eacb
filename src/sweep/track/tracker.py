"""The seam between a study and whatever records it for people to look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from sweep.config.schema import Config
from sweep.records import Metrics, TrialPlan
from sweep.store import Store


class JobType(StrEnum):
    TRIAL = "trial"
    FINAL = "final"
    STUDY = "study"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended. `state` is a `TrialRecord.state` (completed, pruned, diverged, interrupted, …); `files` are
    attached to the run; a folder in `artifact` becomes a versioned artifact of the run."""

    state: str
    exit_code: int = 0
    summary: Mapping[str, float | int | str] | None = None
    files: tuple[Path, ...] = ()
    artifact: Path | None = None


class Run(Protocol):
    """One line on the dashboard. `address` is where to look at it: a URL, a folder, or empty."""

    @property
    def address(self) -> str: ...

    def log(self, step: int, metrics: Metrics) -> None:
        """Stream one row against `train/global_step`."""

    def finish(self, ending: Ending) -> None: ...


@dataclass(frozen=True, slots=True)
class Receipt:
    """What arrived. `lines` are for the user; `missing` names each run or row that the backend should hold but does not."""

    lines: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class Tracker(Protocol):
    def open(self, trial: TrialPlan, job_type: JobType = JobType.TRIAL) -> Run:
        """Start the run of a trial, or of the winner's retraining."""

    def open_study(self, config: Config) -> Run:
        """Start the run that sums the study up."""

    def close(self, store: Store) -> Receipt:
        """Flush everything and, where the backend can be asked, compare what it holds with the run directory."""
