"""The ask / train / tell loop between Optuna, an engine, the run directory, the tracker and the
output."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace

from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, Trial

from sweep.config.schema import Scalar
from sweep.config.steps import warmup_steps
from sweep.engine.protocol import Engine
from sweep.errors import Interrupted, UserError, disk_failure
from sweep.provenance import now, utc
from sweep.records.store import UnfinishedState
from sweep.records.trial import (
    Completed,
    Cost,
    EvalPoint,
    Failed,
    FailureReason,
    Outcome,
    Pruned,
    Step,
    TrialPlan,
    TrialRecord,
    Verdict,
)
from sweep.search.report_steps import ReportSteps
from sweep.study.attributes import recovered_outcome
from sweep.study.optuna_study import OptunaStudy
from sweep.study.session import Session
from sweep.study.storage import storage_errors
from sweep.track.tracker import Run, cut_trial, trial_ending

# The failure of a trial that has no record.
_CAUSES = {
    UnfinishedState.KILLED: (FailureReason.LOST, "the process ended before the trial did"),
    UnfinishedState.NOT_BEGUN: (FailureReason.LOST, "the process ended before the training began"),
    UnfinishedState.DISK_FAILED: (FailureReason.DISK_FAILED, "how the trial ended could not be recorded"),
}


def search(session: Session) -> list[TrialRecord]:
    """Run trials until the study has `n_trials` of them. Return the records of all trials.

    Raises Interrupted after Ctrl-C or SIGTERM, with everything kept. An exception that is no
    failure of a point stops the study: its trials are recorded as crashed, and are retried when
    the study is resumed.
    """
    with session.view, storage_errors(session.plan.config.study):
        plan, view = session.plan, session.view
        opened = OptunaStudy.open(plan.config.study, plan.space, session.store, say=view.say, stop=session.stop)
        loop = _Loop(session, opened)
        with closing(loop.optuna_study):
            loop.recover()
            if loop.wants_more():
                loop.run(session.engine())
            if session.stop.raised:
                raise Interrupted(f"stopped; {loop.optuna_study.counted} of {loop.optuna_study.wanted} trials are done and kept in "
                                  f"{session.store.root}. The same command goes on from here.")  # fmt: skip
    return session.store.trials()


@dataclass(slots=True)
class _Running:
    """A running trial."""

    trial: Trial
    plan: TrialPlan
    run: Run
    started: str
    place: int | None
    evals: list[EvalPoint] = field(default_factory=list)
    seconds: float = 0.0
    reported: int = 0  # the report step of the latest score that Optuna has


@dataclass(slots=True)
class _Loop:
    """The callbacks of the engine, and the state between them."""

    session: Session
    optuna_study: OptunaStudy
    running: dict[int, _Running] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    report_steps: ReportSteps = field(init=False)

    def __post_init__(self) -> None:
        plan = self.session.plan
        trainers = [corner.trainer for corner in plan.corners]
        self.report_steps = ReportSteps.of(trainers, plan.space, rows=len(plan.splits.train))

    def recover(self) -> None:
        """End the trials of a killed process in Optuna: by their records, or as lost, which are
        retried."""
        store = self.session.store
        records = {record.number: record for record in store.trials()}
        for ended in self.optuna_study.ended():
            if ended.number not in records:
                self._recover_record(ended)
        running = list(self.optuna_study.left_running())
        killed = [trial.number for trial, _ in running if trial.number not in records and self._killed(trial.number)]
        for trial, frozen in running:
            record = records.get(trial.number)
            if record is None:
                record = self._lost(trial.number, frozen, alone=killed == [trial.number])
            self.optuna_study.tell(trial, record.outcome)
        self.session.keep_best_only()
        for record in store.trials():
            if self.session.tracker.left_open(record.tracker_run):
                study = self.session.plan.config.study
                self.session.tracker.complete(cut_trial(record, store.events(record.number), study))

    def _killed(self, number: int) -> bool:
        return self.session.store.unfinished_state(number) is UnfinishedState.KILLED

    def _recover_record(self, ended: FrozenTrial) -> None:
        """Write the record of a trial that has ended in Optuna, from the storage and the trial's
        events."""
        store, study = self.session.store, self.session.plan.config.study
        events = store.events(ended.number)
        record = self._unplanned(
            ended.number, ended.params, recovered_outcome(ended, events, study.metric), utc(ended.datetime_start)
        )
        with suppress(UserError):  # values that break a rule together have no plan
            plan = self.session.plan.trial(ended.number, ended.params)
            record = replace(record, command=plan.command, total_steps=plan.total_steps)
        store.write_trial(
            replace(record, finished=utc(ended.datetime_complete), tracker_run=store.run_address(ended.number))
        )
        self.session.view.say(
            f"trial {ended.number}: its record is made again, from Optuna's storage and the trial's events"
        )

    def _lost(self, number: int, frozen: FrozenTrial, *, alone: bool) -> TrialRecord:
        store = self.session.store
        events = store.events(number)
        given_up = alone and self.optuna_study.gives_up(frozen.params)
        state = store.unfinished_state(number)
        # Earlier versions wrote rows, but did not mark a trial that is being trained.
        reason, message = _CAUSES[UnfinishedState.KILLED if events and state is UnfinishedState.NOT_BEGUN else state]
        if given_up:
            message += "; with this trial alone it ended so before, and the point is not tried again"
        evals = tuple(event for event in events if isinstance(event, EvalPoint))
        lost = Failed(reason, message, evals, Cost(), alone=alone, given_up=given_up)
        record = replace(
            self._unplanned(number, frozen.params, lost, utc(frozen.datetime_start)),
            total_steps=max((event.total_steps for event in events if isinstance(event, Step)), default=0),
            tracker_run=store.run_address(number),
        )
        store.write_trial(record)
        store.drop_best(number)
        self.session.view.say(f"trial {number}: {str(reason).replace('_', ' ')}, {message}")
        self.session.tracker.complete(cut_trial(record, events, self.session.plan.config.study))
        return record

    def wants_more(self) -> bool:
        timeout = self.session.plan.config.study.timeout
        in_time = timeout is None or time.monotonic() - self.began < timeout
        return (
            not self.session.stop.raised
            and in_time
            and self.optuna_study.counted + len(self.running) < self.optuna_study.wanted
        )

    def run(self, engine: Engine) -> None:
        self._show_count()
        with self._crashes_recorded():
            engine.run(self._next, self._step, self._evaluated, self._ended)

    def _next(self) -> TrialPlan | None:
        while self.wants_more():
            trial, params = self.optuna_study.ask()
            try:
                plan = self.session.plan.trial(trial.number, params)
            except UserError as error:
                self._infeasible(trial, params, error)
                continue
            run = self.session.tracker.open(plan)
            self.session.store.note_run(plan.number, run.address)
            self.running[plan.number] = _Running(trial, plan, run, now(), self.optuna_study.place(plan.number))
            self.session.store.begin_trial(plan.number)
            self.session.view.begin(plan, _title(plan), again=self._stopped_before(plan))
            return plan
        return None

    def _stopped_before(self, plan: TrialPlan) -> int | None:
        """Return the number of the last trial that was stopped at the same point, or None."""
        stopped = [
            record.number for record in self.session.store.trials()
            if isinstance(record.outcome, Failed) and record.outcome.reason.retried and record.params == plan.params
        ]  # fmt: skip
        return max(stopped, default=None)

    def _infeasible(self, trial: Trial, params: Mapping[str, Scalar], error: UserError) -> None:
        """Record a point whose values break a rule together.

        The trial counts, as it says something about the point.
        """
        failed = Failed(FailureReason.INFEASIBLE, "; ".join(map(str, error.faults)), (), Cost())
        record = self._unplanned(trial.number, params, failed, now())
        self.session.store.write_trial(record)
        self.optuna_study.tell(trial, failed)
        self.session.view.ended(f"trial {trial.number}", record.state, failed.message)

    def _step(self, plan: TrialPlan, step: Step) -> Verdict:
        self.running[plan.number].seconds = step.seconds
        if step.metrics:
            self.session.store.append_event(plan.number, step)
            self.running[plan.number].run.log(step.step, step.metrics)
        self.session.view.step(_title(plan), step)
        return self._verdict(plan)

    def _evaluated(self, plan: TrialPlan, point: EvalPoint) -> Verdict:
        running = self.running[plan.number]
        running.evals.append(point)
        self.session.store.append_event(plan.number, point)
        running.run.log(point.step, point.metrics)
        self.session.view.evaluated(_title(plan), point)
        reported = self._report(running, point)
        if (verdict := self._verdict(plan)) is not Verdict.CONTINUE:
            return verdict
        judged = reported and point.step < plan.total_steps
        warm = point.step > warmup_steps(plan.total_steps, plan.config.optimizer.warmup_steps)
        stopped = judged and self.optuna_study.stops(running.trial, running.reported, warm=warm)
        return Verdict.PRUNE if stopped else Verdict.CONTINUE

    def _report(self, running: _Running, point: EvalPoint) -> bool:
        """Report the score to Optuna. Return False if Optuna has one for this step."""
        config = running.plan.config
        report_step = self.report_steps.nearest(config.trainer, point.step)
        if report_step <= running.reported:
            return False
        self.optuna_study.report(running.trial, point.metrics[config.study.metric], report_step)
        running.reported = report_step
        return True

    def _ended(self, plan: TrialPlan, outcome: Outcome) -> None:
        running = self.running[plan.number]
        self._close(running, self._settled(running, outcome))

    def _close(self, running: _Running, record: TrialRecord) -> None:
        plan = running.plan
        self.session.keep_best_only()
        running.run.finish(trial_ending(record, plan.config.study))
        self.session.view.ended(_title(plan), record.state, self._detail(record.outcome))
        self._show_count()
        self.session.view.standing()

    def _settled(self, running: _Running, outcome: Outcome) -> TrialRecord:
        """Write the record, then end the trial in Optuna: if the process dies in between,
        `recover` ends it from the record."""
        record = self._record(running, outcome)
        try:
            self.session.store.write_trial(record)
        except OSError:
            for number in self.running:
                self.session.store.stop_for_disk(number)
            raise
        del self.running[running.plan.number]
        self.optuna_study.tell(running.trial, outcome)
        return record

    def _verdict(self, plan: TrialPlan) -> Verdict:
        limit = plan.config.study.trial_timeout
        if self.session.stop.raised:
            return Verdict.INTERRUPT
        if limit is not None and self.running[plan.number].seconds > limit:
            return Verdict.TIME_OUT
        return Verdict.CONTINUE

    def _unplanned(self, number: int, params: Mapping[str, Scalar], outcome: Outcome, started: str) -> TrialRecord:
        """Return the record of a trial without a plan, whose values may not compose."""
        place = self.optuna_study.place(number)
        return TrialRecord(number, dict(params), outcome, "", 0, started, now(), place=place)

    def _record(self, running: _Running, outcome: Outcome) -> TrialRecord:
        plan = running.plan
        return TrialRecord(
            number=plan.number, params=plan.params, outcome=outcome, command=plan.command,
            total_steps=plan.total_steps, started=running.started, finished=now(), tracker_run=running.run.address,
            used=plan.used, place=running.place,
        )  # fmt: skip

    def _detail(self, outcome: Outcome) -> str:
        metric = self.session.plan.config.study.metric
        match outcome:
            case Completed(best=best):
                return f"{metric} {best.metrics[metric]:.4f} at epoch {best.epoch:g}"
            case Pruned(evals=evals):
                return f"{metric} {evals[-1].metrics[metric]:.4f} at epoch {evals[-1].epoch:g}" if evals else ""
            case Failed(message=message):
                return message

    def _show_count(self) -> None:
        best = self.session.best()
        value = (
            best.outcome.best.metrics[self.optuna_study.config.metric]
            if best and isinstance(best.outcome, Completed)
            else None
        )
        self.session.view.count(self.optuna_study.counted, self.optuna_study.wanted, best, value)

    @contextmanager
    def _crashes_recorded(self) -> Iterator[None]:
        """End the running trials before an error of the engine is passed on: in the records, in
        Optuna and on the dashboard.

        After a second Ctrl-C the dashboard is left out, since it may wait for a server.
        """
        try:
            yield
        except KeyboardInterrupt:
            self._settle_all(FailureReason.INTERRUPTED, "stopped at once")
            raise
        except Exception as error:
            failure = disk_failure(error)
            reason = FailureReason.DISK_FAILED if failure else FailureReason.CRASHED
            message = failure or f"{type(error).__name__}: {error}"
            with suppress(OSError, StorageInternalError):  # `recover` does the rest when the study is resumed
                for running, record in self._settle_all(reason, message):
                    self._close(running, record)
            raise

    def _settle_all(self, reason: FailureReason, message: str) -> list[tuple[_Running, TrialRecord]]:
        """Write the records of all running trials.

        The dashboard comes later, since it may take long.
        """
        settled = []
        for running in list(self.running.values()):
            cost = Cost(seconds=running.seconds)
            settled.append((running, self._settled(running, Failed(reason, message, tuple(running.evals), cost))))
        return settled


def _title(plan: TrialPlan) -> str:
    return f"trial {plan.number}"
