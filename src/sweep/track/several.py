"""Several trackers at once: each gets everything, and the failure of one does not affect the
others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from sweep.config.schema import Config
from sweep.config.secrets import scrub
from sweep.errors import first_line
from sweep.records.trial import Metrics, TrialPlan
from sweep.track.addresses import joined, labelled
from sweep.track.null import NullRun, NullTracker
from sweep.track.tracker import (
    Alert,
    CutRun,
    Ending,
    JobType,
    Run,
    Say,
    StoppedRun,
    Tracker,
    go_on,
    go_on_with_study,
    send_alert,
)

T = TypeVar("T")

_NO_LINES: Sequence[str] = ()


class SeveralTrackers:
    """Trackers by the labels of their addresses; the label is empty for a tracker that labels its
    addresses itself.

    The error of a tracker is reported in one line, after which it gets nothing more.
    """

    def __init__(self, trackers: Sequence[tuple[str, Tracker]], *, say: Say) -> None:
        self._labels = [label for label, _ in trackers]
        self.trackers = [tracker for _, tracker in trackers]
        self._say = say

    def open(self, trial: TrialPlan, job_type: JobType = JobType.TRIAL) -> Run:
        return self._run(lambda tracker: tracker.open(trial, job_type))

    def resume(self, trial: TrialPlan, stopped: StoppedRun) -> Run | None:
        """Return the run, which goes on in each tracker. One that cannot opens a new run with all
        rows."""
        return self._run(lambda tracker: go_on(tracker, trial, stopped))

    def left_open(self, address: str) -> bool:
        return any(self._each(lambda tracker: tracker.left_open(address), False))

    def complete(self, cut: CutRun) -> bool:
        """Complete the run in each tracker that has it without an end.

        Return whether all of them did.
        """

        def complete(tracker: Tracker) -> bool:
            return not tracker.left_open(cut.address) or tracker.complete(cut)

        return all(self._each(complete, False))

    def open_study(self, config: Config) -> Run:
        return self._run(lambda tracker: tracker.open_study(config))

    def resume_study(self, config: Config, stopped: StoppedRun) -> Run | None:
        """Return the study's run, which goes on in each tracker, as `resume` does with that of a
        training."""
        return self._run(lambda tracker: go_on_with_study(tracker, config, stopped))

    def open_comparison(self, name: str, compared: Mapping[str, Config]) -> Run:
        return self._run(lambda tracker: tracker.open_comparison(name, compared))

    def close(self) -> tuple[str, ...]:
        return tuple(line for lines in self._each(_closed, _NO_LINES) for line in lines)

    def attempt(self, index: int, action: Callable[[Tracker], T], fallback: T) -> T:
        try:
            return action(self.trackers[index])
        except Exception as error:  # see `ThreadedTracker`
            self.trackers[index] = NullTracker()
            name = self._labels[index] or "a tracker"
            self._say(f"{name} failed ({scrub(first_line(error))}), and gets nothing more.")
            return fallback

    def _each(self, action: Callable[[Tracker], T], fallback: T) -> list[T]:
        return [self.attempt(index, action, fallback) for index in range(len(self.trackers))]

    def _run(self, action: Callable[[Tracker], Run]) -> Run:
        runs = self._each(action, _no_run())
        addresses = [
            labelled(label, run.address) if label else run.address
            for label, run in zip(self._labels, runs, strict=True)
        ]
        return _SeveralRuns(self, runs, joined(addresses))


def _closed(tracker: Tracker) -> Sequence[str]:
    return tracker.close()


def _no_run() -> Run:
    return NullRun()


class _SeveralRuns:
    def __init__(self, owner: SeveralTrackers, runs: Sequence[Run], address: str) -> None:
        self.address = address
        self._owner = owner
        self._runs = list(runs)

    def log(self, step: int, metrics: Metrics) -> None:
        self._each(lambda run: run.log(step, metrics))

    def alert(self, alert: Alert) -> None:
        self._each(lambda run: send_alert(run, alert))

    def finish(self, ending: Ending) -> None:
        self._each(lambda run: run.finish(ending))

    def _each(self, action: Callable[[Run], None]) -> None:
        for index, run in enumerate(self._runs):

            def of_run(_: Tracker, run: Run = run) -> bool:
                action(run)
                return True

            if not self._owner.attempt(index, of_run, False):
                self._runs[index] = NullRun()
