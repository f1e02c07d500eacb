"""The trials of a study that the pruner has paused, until it promotes them or the study ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from sweep.provenance import now
from sweep.records.snapshots import Snapshots, trial_key
from sweep.records.trial import TrialRecord
from sweep.study.feasibility import Feasibility
from sweep.study.optuna_study import OptunaStudy
from sweep.study.running import Stopped
from sweep.study.session import Session
from sweep.study.view import trial_title
from sweep.track.tracker import PAUSED, JobType, Run, StoppedRun, go_on, trial_ending

# Runs of paused trials that stay open on the trackers, as many as of trials that train at once on a
# GPU: opening one again takes time, and each open one takes memory and a connection.
_OPEN = 32


@dataclass(slots=True)
class PausedTrials:
    """The paused trials by number, in the order in which they were paused."""

    session: Session
    optuna_study: OptunaStudy
    snapshots: Snapshots
    feasibility: Feasibility
    _paused: dict[int, Stopped] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._paused)

    def recover(self, stopped: Stopped, record: TrialRecord) -> None:
        """Take in a trial that an earlier process paused. `record` is the one that it gets unless
        it is promoted."""
        self.session.store.write_pause(record)
        self._paused[stopped.number] = stopped
        planned = record.planned_steps(self.session.plan.config.dataset.folds)
        share = min(record.outcome.cost.steps / max(planned, 1), 1.0)
        self.session.view.put_aside(trial_title(record.number), share)

    def add(self, stopped: Stopped, record: TrialRecord) -> None:
        """Take in a trial that has its snapshot, and gets `record` unless it is promoted."""
        self.recover(stopped, record)
        with_runs = [one for one in self._paused.values() if one.run is not None]
        if not self.session.stop.raised:  # after a stop the tracker ends all runs at the same time
            for one in with_runs[: max(len(with_runs) - _OPEN, 0)]:
                self._finish_run(one)

    def promoted(self, *, new: bool) -> Stopped | None:
        """Return the trial that goes on in a free slot, or None. With `new` the study lacks a
        point, which then takes the slot."""
        if not self._paused:
            return None
        number = self.optuna_study.promoted(self._paused, new=new)
        return None if number is None else self.take(number)

    def take(self, number: int) -> Stopped:
        """Return one of them, which goes on."""
        stopped = self._paused.pop(number)
        self.optuna_study.go_on(stopped.trial)
        self.session.store.forget_pause(number)
        return stopped

    def end(self) -> Iterator[TrialRecord]:
        """End all of them as pruned. Yield their records."""
        for number, stopped in sorted(self._paused.items()):
            paused = self.session.store.pause(number)
            assert paused is not None, "a paused trial has a record"
            run = stopped.run or self._opened_again(stopped, paused)
            record = replace(paused, finished=now(), tracker_run=run.address)
            self.session.ended.write(record)
            del self._paused[number]
            self.optuna_study.tell(stopped.trial, record.outcome, self.feasibility.constraints(record))
            self.snapshots.drop(trial_key(number))
            self.session.ended.keep_best_only()
            run.finish(trial_ending(record, self.session.plan.config.study))
            yield record

    def finish_runs(self) -> None:
        """End the runs that are open on the trackers, until their trials go on."""
        for stopped in [one for one in self._paused.values() if one.run is not None]:
            self._finish_run(stopped)

    def _finish_run(self, stopped: Stopped) -> None:
        assert stopped.run is not None, "its run is open"
        stopped.run.finish(PAUSED)
        self._paused[stopped.number] = replace(stopped, run=None)

    def _opened_again(self, stopped: Stopped, record: TrialRecord) -> Run:
        session, number = self.session, stopped.number
        plan, rows = session.plan.trial(number, stopped.params), session.store.events(number)
        run = go_on(session.tracker, plan, StoppedRun(JobType.TRIAL, record.tracker_run, rows))
        session.store.note_run(number, run.address)
        return run
