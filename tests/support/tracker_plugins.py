"""Trackers as a user would write them: one keeps its calls, and one fails at a chosen call."""

# ruff: noqa: ARG002

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Event
from typing import Any

from sweep.config.schema import Config, Section
from sweep.records.trial import Metrics, TrialPlan
from sweep.track.tracker import CutRun, Ending, JobType

# Set by a test to let a tracker go that hangs.
RELEASED = Event()


class KeepingSettings(Section):
    fails_at: str = ""
    label: str = "kept"


class KeepingTracker:
    Settings = KeepingSettings
    requires: Mapping[str, str] = {}
    made: list[KeepingTracker] = []

    def __init__(self, config: Config, run_dir: Path, *, settings: KeepingSettings, say: Any) -> None:
        self.fails_at, self.label = settings.fails_at, settings.label
        self.rows: list[tuple[int, Metrics]] = []
        self.endings: list[str] = []
        self.completed: list[str] = []
        self.made.append(self)
        self._may("start")

    def open(self, trial: TrialPlan, job_type: JobType = JobType.TRIAL) -> KeepingRun:
        self._may("open")
        return KeepingRun(self, f"{self.label}/{trial.number}")

    def left_open(self, address: str) -> bool:
        return address == f"{self.label}/7"

    def complete(self, cut: CutRun) -> bool:
        self.completed.append(cut.address)
        self._may("complete")
        return True

    def open_study(self, config: Config) -> KeepingRun:
        return KeepingRun(self, self.label)

    def open_comparison(self, name: str, compared: Mapping[str, Config]) -> KeepingRun:
        return KeepingRun(self, name)

    def close(self) -> tuple[str, ...]:
        self._may("close")
        return (f"kept {len(self.rows)}",)

    def _may(self, place: str) -> None:
        if self.fails_at == place:
            raise RuntimeError(f"cannot {place} with hf_abcdefghijklmnopqrstuvwxyz")
        if self.fails_at == f"hang at {place}":
            RELEASED.wait(60)


class KeepingRun:
    def __init__(self, owner: KeepingTracker, address: str) -> None:
        self.owner, self.address = owner, address

    def log(self, step: int, metrics: Metrics) -> None:
        self.owner._may("log")
        self.owner.rows.append((step, metrics))

    def finish(self, ending: Ending) -> None:
        self.owner._may("finish")
        self.owner.endings.append(ending.state)


class NoTracker:
    """Neither `Settings` nor `requires`."""
