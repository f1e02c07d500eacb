"""Tracking switched off."""

from __future__ import annotations

from collections.abc import Mapping

from sweep.config.schema import Config
from sweep.records.trial import Metrics, TrialPlan
from sweep.track.tracker import CutRun, Ending, JobType, Run


class NullRun:
    address = ""

    def log(self, step: int, metrics: Metrics) -> None:
        """Nothing."""

    def finish(self, ending: Ending) -> None:
        """Nothing."""


class NullTracker:
    def open(self, trial: TrialPlan, job_type: JobType = JobType.TRIAL) -> Run:  # noqa: ARG002
        return NullRun()

    def left_open(self, address: str) -> bool:  # noqa: ARG002
        return False

    def complete(self, cut: CutRun) -> bool:  # noqa: ARG002
        return False

    def open_study(self, config: Config) -> Run:  # noqa: ARG002
        return NullRun()

    def open_comparison(self, name: str, compared: Mapping[str, Config]) -> Run:  # noqa: ARG002
        return NullRun()

    def close(self) -> tuple[str, ...]:
        return ()
