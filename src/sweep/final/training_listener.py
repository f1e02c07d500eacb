"""The listener of a training outside the search: its rows go to the run directory and to the
tracker, and nothing is pruned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sweep.errors import Interrupted
from sweep.final.progress import Progress
from sweep.launch.kept_snapshots import Kept, kept_key
from sweep.records.snapshot import Snapshot
from sweep.records.trial import EvalPoint, Step, TrialPlan, Verdict
from sweep.study.session import Session
from sweep.track.tracker import Ending, JobType, Run, StoppedRun, go_on


@dataclass(slots=True)
class TrainingListener:
    """Keeps and logs the steps and evaluations of a training. A row that comes again after a stop
    is kept and logged once."""

    session: Session
    run: Run
    title: str
    progress: Progress
    plan: TrialPlan
    job_type: JobType
    kept: str  # the key of its snapshot among those that stay on a worker
    newest: int = 0  # step that was reported

    @classmethod
    def begin(cls, session: Session, key: str, plan: TrialPlan, title: str, job_type: JobType) -> TrainingListener:
        """Return a listener with a new run of the tracker, or with the one of an earlier process,
        which goes on."""
        progress = Progress.of(session.store, key, plan, say=session.view.say)
        kept = kept_key(plan) if job_type is JobType.CONFIRM else progress.kept_key
        session.take_over(plan, progress.snapshots, key, kept)
        progress.look()
        if progress.address:
            run = go_on(session.tracker, plan, StoppedRun(job_type, progress.address, progress.log.rows))
        else:
            run = session.tracker.open(plan, job_type)
        session.view.begin(plan, title, since=progress.step if progress.stopped else None)
        if run.address != progress.address:
            progress.note_run(run.address)
        return cls(session, run, title, progress, plan, job_type, kept)

    @property
    def rows(self) -> Sequence[Step | EvalPoint]:
        return self.progress.log.rows

    def resumed(self, plan: TrialPlan) -> TrialPlan:
        """Return the plan of the training that begins now, or goes on from its snapshot."""
        plan = self.progress.begin(plan)
        self.session.study_run.begin(plan, self.job_type, rows=self._rows)
        return plan

    @property
    def _rows(self) -> int:
        """Return the number of rows in an epoch. With folds a fresh seed trains all of them, and a
        retraining the first one."""
        splits = self.session.plan.splits
        if self.job_type is JobType.CONFIRM:
            return splits.trained_rows
        return len(splits.merged.train) if self.job_type is JobType.REFIT else len(splits.train)

    def kept_step(self) -> int:
        """Return after how many steps the training can go on; 0 for none."""
        return self.progress.step

    def reached(self) -> int:
        """Return the last step that is known of the training."""
        return max(self.newest, self.progress.step)

    @property
    def kept_on_worker(self) -> Kept:
        """Return where snapshots that stay on a worker are."""
        return Kept(self.session.store.identity(), self.kept)

    def step(self, step: Step) -> Verdict:
        self.newest = max(self.newest, step.step)
        if step.metrics:
            self._add(step)
        self.session.study_run.step(self.plan, step, self.job_type)
        self.session.view.step(self.title, step)
        return self._verdict()

    def evaluated(self, point: EvalPoint) -> Verdict:
        if self._add(point):
            self.session.view.evaluated(self.title, point)
        return self._verdict()

    def _add(self, row: Step | EvalPoint) -> bool:
        """Keep and log a row. Return False where it was kept before."""
        if not self.progress.add(row):
            return False
        if self.progress.log.show(row):
            self.run.log(row.step, row.metrics)
        return True

    def over(self, seconds: float = 0.0) -> None:
        """Note that the training has ended or was put away, after so many `seconds` in all."""
        self.session.study_run.over(self.plan, self.job_type, seconds=seconds)

    def snapshot(self, snapshot: Snapshot) -> None:
        self.progress.keep(snapshot)

    def drop_snapshot(self) -> None:
        """Delete the snapshot of a training that has ended."""
        self.progress.drop_snapshot()
        self.session.drop_kept(self.plan, self.kept)

    def drop(self) -> None:
        """Delete everything of a training that has a record."""
        self.progress.drop()
        self.session.drop_kept(self.plan, self.kept)

    def fail(self, error: BaseException) -> None:
        """End the run of a training that an error has ended; one that the user stopped is put away
        when the tracker is closed, and goes on later."""
        if not isinstance(error, Interrupted | KeyboardInterrupt):
            self.run.finish(Ending("crashed"))

    def _verdict(self) -> Verdict:
        return Verdict.INTERRUPT if self.session.stop.raised else Verdict.CONTINUE
