"""A tracker that does nothing."""

from __future__ import annotations

from collections.abc import Mapping

from sweep.config.schema import Config
from sweep.records.trial import Metrics, TrialPlan
from sweep.track.tracker import CutRun, Ending, JobType, Run, StoppedRun


class NullRun:
    address = ""

    def log(self, step: int, metrics: Metrics) -> None:
        """Do nothing."""

    def finish(self, ending: Ending) -> None:
        """Do nothing."""


class NullTracker:
    def open(self, trial: TrialPlan, job_type: JobType = JobType.TRIAL) -> Run:  # noqa: ARG002
        return NullRun()

    def resume(self, trial: TrialPlan, stopped: StoppedRun) -> Run | None:  # noqa: ARG002
        return NullRun()

    def left_open(self, address: str) -> bool:  # noqa: ARG002
        return False

    def complete(self, cut: CutRun) -> bool:  # noqa: ARG002
        return False

    def open_study(self, config: Config) -> Run:  # noqa: ARG002
        return NullRun()

    def resume_study(self, config: Config, stopped: StoppedRun) -> Run | None:  # noqa: ARG002
        return NullRun()

    def open_comparison(self, name: str, compared: Mapping[str, Config]) -> Run:  # noqa: ARG002
        return NullRun()

    def close(self) -> tuple[str, ...]:
        return ()
