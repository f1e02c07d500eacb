"""The study's own run: open while the study runs, told of what happens, and ended with the
report."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from sweep.config.schema import Config
from sweep.config.secrets import scrub
from sweep.records.events import append_row, mended_rows
from sweep.records.spent import read_spent
from sweep.records.store import Store
from sweep.records.trial import Failed, Step, TrialPlan, TrialRecord
from sweep.track.alerts import Alerts
from sweep.track.study_progress import DEVICE_HOURS, StudyProgress, of_records
from sweep.track.tracker import Alert, Ending, JobType, Run, StoppedRun, Tracker, go_on_with_study, send_alert

# Seconds between two rows: a sixtieth of the time so far, within these limits.
_SHORTEST, _LONGEST, _SHARE = 1.0, 30.0, 1 / 60


@dataclass(slots=True)
class StudyRun:
    """Logs the state of the study (`StudyProgress`) while it runs, and sends alerts.

    It is opened before the first training. Each row is kept in the run directory first, so that a
    run whose process was killed goes on without a row lost or doubled. A disk that takes no row
    costs that row alone. `rows` is the number of training rows; `tokens` returns the mean of their
    lengths for a config, None where it is not known.
    """

    tracker: Tracker
    store: Store
    config: Config
    rows: int
    tokens: Callable[[Config], float | None] = lambda _: None
    clock: Callable[[], float] = time.monotonic
    _run: Run | None = None
    _progress: StudyProgress = field(init=False)
    _alerts: Alerts = field(init=False)
    _began: float = 0.0
    _first: int = 0  # the second of the study at which this process began
    _last: int = -1  # that of the last row
    _written: float = 0.0  # the time of the last row, by `clock`

    def __post_init__(self) -> None:
        self._progress = StudyProgress(self.config.study)
        self._alerts = Alerts(self.config.study, self._send, self.clock)

    @property
    def is_open(self) -> bool:
        return self._run is not None

    def open(self) -> None:
        """Start the run, or go on with that of an earlier process."""
        if self._run is not None:
            return
        rows = [row for row in mended_rows(self.store.study_dir) if isinstance(row, Step)]
        self._last = rows[-1].step if rows else -1
        self._first = self._last + 1
        trials, before = self.store.trials(), self._progress
        spent = [sum(trial.outcome.cost.seconds for trial in trials)]
        spent += [noted.device_seconds] if (noted := read_spent(self.store.root)) else []
        spent += [3600 * row.metrics.get(DEVICE_HOURS, 0.0) for row in rows]
        self._progress = replace(
            of_records(self.config.study, trials, max(spent)), waiting=before.waiting, paused=before.paused
        )
        stopped = StoppedRun(JobType.STUDY, self.store.study_address(), rows)
        self._run = go_on_with_study(self.tracker, self.config, stopped)
        self._began = self._written = self.clock()
        with suppress(OSError):
            self.store.note_study_address(self._run.address)
        self.write()

    def begin(self, plan: TrialPlan, job_type: JobType = JobType.TRIAL, *, rows: int | None = None) -> None:
        """Note a training that begins or goes on, on so many `rows`; None is the training
        split."""
        self.open()
        rows = self.rows if rows is None else rows
        self._progress.begin(plan, job_type, rows=rows, tokens=self.tokens(plan.config))
        self._write_if_due()

    def step(self, plan: TrialPlan, step: Step, job_type: JobType = JobType.TRIAL) -> None:
        """Note how far a training is."""
        self._progress.step(plan, job_type, step)
        self._write_if_due()

    def over(self, plan: TrialPlan, job_type: JobType = JobType.TRIAL, *, seconds: float = 0.0) -> None:
        """Note a training that has ended or was put away, after so many `seconds` in all."""
        self._progress.over(plan, job_type, seconds=seconds)
        self._write_if_due()

    def stopped(self, *, waiting: int, paused: int) -> None:
        """Note how many trials are put away until they go on, and how many are paused until they
        are promoted."""
        self._progress.waiting, self._progress.paused = waiting, paused

    def ended(self, record: TrialRecord) -> None:
        """Note the record of a trial that has ended."""
        if self._run is None:  # `open` counts it
            return
        if self._progress.ended(record):
            self._alerts.best(record)
        if isinstance(record.outcome, Failed):
            self._alerts.failed(record.number, record.outcome)
        self._write_if_due()

    def write(self) -> None:
        """Log a row now."""
        if self._run is None:
            return
        now = self.clock()
        second = max(self._last + 1, self._first + int(now - self._began))
        metrics = self._progress.metrics(now - self._written)
        self._written = now
        if self._keep(Step(second, 0, 0.0, metrics)):
            self._run.log(second, metrics)

    def finish(self, ending: Ending) -> None:
        """End the run with the results of the study."""
        self.open()
        self.write()
        self._alerts.ended(" ".join([str(self._progress), *self._tested(ending)]))
        self._end(ending)

    def fail(self, message: str) -> None:
        """End the run of a study that an error ended, where it is open. It goes on with the
        study."""
        if self._run is not None:
            self.write()
            self._alerts.ended(f"{message}. {self._progress}", error=True)
            self._end(Ending("failed", summary={"failure": message}))

    def _end(self, ending: Ending) -> None:
        assert self._run is not None
        if ending.shown:  # tables and charts take a step of their own on W&B, which a resumed run has to count
            self._keep(Step(self._last, 0, 0.0))
        self._run.finish(ending)
        self._run = None

    def _send(self, alert: Alert) -> None:
        if self._run is not None:
            send_alert(self._run, replace(alert, title=scrub(alert.title), text=scrub(alert.text)))

    def _keep(self, row: Step) -> bool:
        """Write a row to the run directory. Return False where the disk does not take it."""
        with suppress(OSError):
            append_row(row, self.store.study_dir)
            self._last = row.step
            return True
        return False

    def _write_if_due(self) -> None:
        now = self.clock()
        gap = min(max((self._first + now - self._began) * _SHARE, _SHORTEST), _LONGEST)
        if now - self._written >= gap:
            self.write()

    def _tested(self, ending: Ending) -> list[str]:
        """Return the score on the test split, in words; empty without one."""
        name = self.config.study.metric.replace("eval/", "test/", 1)
        score = (ending.summary or {}).get(name)
        return [f"{name} {score:.4f}."] if isinstance(score, float) else []
