"""The ask / train / tell loop between Optuna, an engine, the run directory, the tracker and the
output."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field, replace

from sweep.engine.protocol import Engine
from sweep.errors import Interrupted
from sweep.launch.kept_snapshots import kept_key
from sweep.provenance import now
from sweep.records.events import events_path
from sweep.records.row_log import Row, RowLog
from sweep.records.snapshot import Snapshot
from sweep.records.snapshots import Snapshots, trial_key
from sweep.records.trial import (
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
from sweep.search.promotion import Decision
from sweep.search.samplers import PLACE
from sweep.study.concurrency import ConcurrencyLimit
from sweep.study.crashes import crashes_recorded
from sweep.study.feasibility import Feasibility
from sweep.study.judge import Judge
from sweep.study.limits import Limits
from sweep.study.memory_prediction import Forecasts
from sweep.study.optuna_study import OptunaStudy
from sweep.study.paused_trials import PausedTrials
from sweep.study.planner import Planner, Untrainable
from sweep.study.recovery import GIVEN_UP, Recovery, cost_at_pause, end_run, planned, untrainable
from sweep.study.running import RunningTrial, Stopped
from sweep.study.session import Session
from sweep.study.start_rules import StartRules
from sweep.study.stop_rule import StopRule
from sweep.study.storage import storage_errors
from sweep.study.unfinished_trials import UnfinishedTrials
from sweep.study.view import trial_title
from sweep.study.warm_start import warm_start
from sweep.track.tracker import PUT_AWAY, JobType, Run, StoppedRun, go_on, trial_ending


def search(session: Session) -> list[TrialRecord]:
    """Run trials until the study has `n_trials` of them. Return the records of all trials.

    Trials that an earlier process did not end go on first, from their snapshots. Raises
    Interrupted after Ctrl-C or SIGTERM, with everything kept. An exception that is no failure of a
    point stops the study: its trials are recorded as crashed, and are retried when the study is
    resumed; after a failure of the disk or the storage they go on.
    """
    with session.view, storage_errors(session.plan.config.study, session.store):
        plan, view = session.plan, session.view
        warm = warm_start(plan, session.store, view.say)
        opened = OptunaStudy.open(
            plan.config.study, plan.space, session.store, warm=warm, say=view.say, stop=session.stop
        )
        loop = _Loop(session, opened)
        with closing(loop.optuna_study), loop.limits.kept():
            loop.recover()
            if loop.start_rules.may_start:
                loop.run(session.engine(loop.optuna_study.wanted - loop.optuna_study.counted, loop.at_once))
            if session.stop.raised:
                raise Interrupted(f"stopped; {loop.optuna_study.counted} of {loop.optuna_study.wanted} trials are done and kept in "
                                  f"{session.store.root}{loop.unfinished}. The same command goes on from here.")  # fmt: skip
            if by_rule := loop.start_rules.lacks_trials and loop.start_rules.stopped_by_rule:
                loop.stop_rule.conclude(
                    view.say,
                    counted=loop.optuna_study.counted,
                    wanted=loop.optuna_study.wanted,
                    unfinished=str(loop.unfinished),
                )
            loop.limits.conclude(
                view.say, completed=session.ended.best() is not None, wanted=loop.start_rules.lacks_trials
            )
            if loop.unfinished and not by_rule:
                view.say(f"the search has ended{loop.unfinished}. The same command goes on from there.")
    return session.ended.records


@dataclass(slots=True)
class _Loop:
    """The callbacks of the engine, and the state between them."""

    session: Session
    optuna_study: OptunaStudy
    running: dict[int, RunningTrial] = field(default_factory=dict)
    unfinished: UnfinishedTrials = field(init=False)
    judge: Judge = field(init=False)
    snapshots: Snapshots = field(init=False)
    limits: Limits = field(init=False)
    feasibility: Feasibility = field(init=False)
    planner: Planner = field(init=False)
    stop_rule: StopRule = field(init=False)
    start_rules: StartRules = field(init=False)
    concurrency: ConcurrencyLimit = field(init=False)
    idle: bool = False  # there was no trial for a free slot, and nothing has changed since

    def __post_init__(self) -> None:
        self.limits = Limits.of(self.optuna_study.config, self.session.store, lambda: len(self.optuna_study.given))
        self.snapshots = Snapshots(self.session.store.root, self.session.view.say)
        self.feasibility = Feasibility.of(self.session.plan)
        paused = PausedTrials(self.session, self.optuna_study, self.snapshots, self.feasibility)
        self.unfinished = UnfinishedTrials(self.optuna_study, paused)
        self.judge = Judge.of(self.session.plan, self.optuna_study)
        self.stop_rule = StopRule.of(self.session.plan)
        self.start_rules = StartRules(
            self.session, self.optuna_study, self.running, self.unfinished, self.limits, self.stop_rule
        )  # fmt: skip
        self.concurrency = ConcurrencyLimit.of(
            self.session.plan.config, self.optuna_study.complete_points, self.running
        )

    def recover(self) -> None:
        """End the trials of an earlier process in Optuna by their records. Those without one
        wait to go on, or are paused."""
        recovery = Recovery(self.session, self.optuna_study, self.snapshots, self.unfinished.paused, self.feasibility)
        self.unfinished.waiting = recovery.run()
        self._count_stopped()

    def run(self, engine: Engine) -> None:
        self.planner = Planner(self.session.plan, Forecasts.open(self.session), self.feasibility)
        self.session.view.limited(lambda: self.limits.seconds_left)
        self._show_count()
        self.session.study_run.open()
        with crashes_recorded(self.session.store, self.running, self.snapshots, self._settled, self._close):
            engine.run(self._next, self._step, self._evaluated, self._ended, self._snapshot)
            if self.start_rules.within_limits and not (self.unfinished.waiting or self.start_rules.lacks_points):
                self._end_paused()
        self.session.study_run.write()
        if not self.session.stop.raised:  # after a stop the tracker ends all runs at the same time
            self.unfinished.paused.finish_runs()
            for stopped in self.unfinished.waiting:
                if stopped.run is not None:
                    stopped.run.finish(PUT_AWAY)

    def _count_stopped(self) -> None:
        self.session.study_run.stopped(waiting=len(self.unfinished.waiting), paused=len(self.unfinished.paused))

    def at_once(self) -> int | None:
        """Return the most trials that may run at once now; None where there is no limit."""
        return self.concurrency.at_once(len(self.unfinished.waiting))

    def _next(self) -> TrialPlan | None:
        """Return the trial for a free slot, or None where there is none at present. Without one
        the study is looked at again only after an evaluation or the end of a trial: engines with a
        free slot ask at every step."""
        plan = None if self.idle else self._found()
        self.idle = plan is None
        return plan

    def _found(self) -> TrialPlan | None:
        """Return the trial for a free slot: one that was put away, one that the pruner promotes,
        or a new one. None where there is none at present."""
        while True:
            new = self.start_rules.may_begin
            if not self.start_rules.within_limits:
                if (last := self.start_rules.last_to_complete()) is None:
                    return None
                plan = self._complete(last)
            elif self.unfinished.waiting:
                plan = self._take_up(self.unfinished.waiting.pop(0))
            elif (promoted := self.unfinished.paused.promoted(new=new)) is not None:
                plan = self._take_up(promoted, promoted=True)
            elif new and self.concurrency.allows_new:
                plan = self._begin()
            else:
                return None
            if plan is not None:
                self._count_stopped()
                self.session.study_run.begin(plan)
                return plan

    def _complete(self, number: int) -> TrialPlan | None:
        """Return the plan of the trial that completes although the time of the budget is used
        up."""
        self.session.view.say(
            f"note: study.budget.{self.limits.budget.time_used_up[0]} is used up, and no trial has completed: "
            f"{trial_title(number)} goes on to its end"
        )
        plan = self._take_up(self.unfinished.take(number))
        if plan is not None:
            self.running[number].to_end = True
        return plan

    def _begin(self) -> TrialPlan | None:
        """Return the plan of a new trial; None where its values break a rule together."""
        trial, params = self.optuna_study.ask()
        stopped = Stopped(trial, params, now())
        if (plan := self._planned(stopped)) is not None:
            self._run(stopped, plan, self.session.tracker.open(plan), self._log(plan))
            self.session.view.begin(plan, trial_title(plan.number), again=self.session.ended.stopped_at(plan.params))
        return plan

    def _take_up(self, stopped: Stopped, *, promoted: bool = False) -> TrialPlan | None:
        """Return the plan of a trial that goes on: from its snapshot, or without one from the
        beginning."""
        store, number = self.session.store, stopped.number
        if (plan := self._planned(stopped)) is None:
            return None
        log = self._log(plan)
        self.session.take_over(plan, self.snapshots, trial_key(number), kept_key(plan))
        snapshot = self.snapshots.read(trial_key(number))
        run = stopped.run or go_on(
            self.session.tracker, plan, StoppedRun(JobType.TRIAL, store.run_address(number), log.rows)
        )
        plan = replace(plan, snapshot=snapshot)
        self._run(stopped, plan, run, log)
        self.session.view.begin(
            plan, trial_title(plan.number), since=snapshot.step if snapshot else 0, promoted=promoted
        )
        return plan

    def _planned(self, stopped: Stopped) -> TrialPlan | None:
        found = self.planner.trial(stopped.number, stopped.params)
        if isinstance(found, Untrainable):
            self._infeasible(stopped, found.failed, found.plan)
            return None
        return found

    def _log(self, plan: TrialPlan) -> RowLog:
        return RowLog.of(self.session.store.trial_dir(plan.number))

    def _run(self, stopped: Stopped, plan: TrialPlan, run: Run, log: RowLog) -> None:
        store, number = self.session.store, plan.number
        store.note_run(number, run.address)
        place = stopped.trial.user_attrs.get(PLACE)
        self.running[number] = RunningTrial.go_on(stopped, plan, run, place, log)
        store.marks(number).begin()

    def _infeasible(self, stopped: Stopped, failed: Failed, plan: TrialPlan | None = None) -> None:
        """Record a point that is not trained, or not any further. The trial counts, as it says
        something about the point."""
        record = untrainable(self.session, self.optuna_study, self.snapshots, stopped, failed)
        if plan is not None:
            record = planned(record, plan, self.feasibility)
        self.session.ended.write(record)
        self.optuna_study.tell(stopped.trial, record.outcome, self.feasibility.constraints(record))
        self.snapshots.drop(trial_key(stopped.number))
        end_run(self.session, stopped, record, plan)
        self.limits.failures.ended(stopped.number, failed)
        self.session.study_run.ended(record)
        self._count_stopped()
        self.session.view.ended(trial_title(stopped.number), record.state, failed.message)
        self._show_count()

    def _step(self, plan: TrialPlan, step: Step) -> Verdict:
        running = self.running[plan.number]
        running.step, running.seconds = max(running.step, step.step), step.seconds
        self.limits.spend(plan, step.seconds)
        self.session.study_run.step(plan, step)
        if step.metrics:
            self._add(running, step)
        self.session.view.step(trial_title(plan.number), step)
        return self._verdict(plan)

    def _add(self, running: RunningTrial, event: Row) -> bool:
        """Write and log a row. Return False where it was written before the trial was stopped."""
        if running.differs(event):
            self.session.view.say(
                f"{trial_title(running.plan.number)}: step {event.step} came out otherwise than before the stop; "
                "its earlier rows from there on are replaced"
            )
        return running.add(event)

    def _evaluated(self, plan: TrialPlan, point: EvalPoint) -> Verdict:
        running = self.running[plan.number]
        if self._add(running, point):
            self.session.view.evaluated(trial_title(plan.number), point)
        decision = self.judge.decide(running, point)
        self.idle = False
        verdict = self._verdict(plan)
        if decision is Decision.STOP and verdict is not Verdict.TIME_OUT:
            return Verdict.PRUNE
        return Verdict.PUT_AWAY if decision is Decision.PAUSE and verdict is Verdict.CONTINUE else verdict

    def _snapshot(self, plan: TrialPlan, snapshot: Snapshot) -> None:
        events = events_path(self.session.store.trial_dir(plan.number))
        self.snapshots.write(trial_key(plan.number), snapshot, events)

    def _ended(self, plan: TrialPlan, outcome: Outcome) -> None:
        running = self.running[plan.number]
        self.idle = False
        outcome = self.feasibility.judged(plan, outcome)
        self.limits.ended(plan, outcome)
        match outcome:
            case Failed(reason=FailureReason.INTERRUPTED) if running.pausing:
                self._pause(running, outcome)
            case Failed(reason=FailureReason.INTERRUPTED, message=message):
                self._put_away(running, "put away", message)
            case Failed(reason=FailureReason.LOST):
                self._lost(running, outcome)
            case _:
                self._close(running, self._settled(running, outcome))

    def _lost(self, running: RunningTrial, lost: Failed) -> None:
        """Let a trial that was lost on a worker go on, or give it up."""
        number = running.plan.number
        step, begun = max(running.step, self.snapshots.step(trial_key(number))), self.session.store.marks(number).begun
        if self.optuna_study.lost(running.trial, step, together=lost.together, begun=begun):
            message = f"{lost.message}; {GIVEN_UP}"
            lost = replace(lost, message=message, evals=tuple(running.log.evals), given_up=True)
            self.limits.failures.ended(number, lost)
            self._close(running, self._settled(running, lost))
            return
        evals, cost = tuple(running.log.evals), None
        if running.pausing:
            cost = cost_at_pause(running.plan, self.snapshots.read(trial_key(number)), evals)
        if cost is not None:
            self._pause(running, replace(lost, evals=evals, cost=cost))
        else:  # one that was to be paused, and has no snapshot of that moment, is paused where it was
            self._put_away(running, "lost", f"{lost.message}; it goes on")

    def _pause(self, running: RunningTrial, stopped: Failed) -> None:
        """Let a trial wait, which has its snapshot, until the pruner promotes it."""
        pruned = Pruned(stopped.evals, stopped.cost)
        record = replace(self._record(running, pruned), pauses=running.promotions + 1)
        del self.running[record.number]
        self.limits.failures.ended(record.number, pruned)
        self.unfinished.paused.add(running.stopped(), record)
        self._count_stopped()
        self.session.study_run.over(running.plan, seconds=stopped.cost.seconds)
        self.session.view.closed(trial_title(running.plan.number), "paused", pruned)

    def _end_paused(self) -> None:
        """End the paused trials as pruned: the study has all its trials, and the pruner promotes
        none of them."""
        for record in self.unfinished.paused.end():
            self._count_stopped()
            self.session.study_run.ended(record)
            self.session.view.closed(trial_title(record.number), record.state, record.outcome)
            self._show_count()

    def _put_away(self, running: RunningTrial, state: str, detail: str) -> None:
        """Let a trial wait until it goes on: in the next process, or in this one, where only its
        worker has ended."""
        number = running.plan.number
        del self.running[number]
        self.session.store.marks(number).clear()
        self.unfinished.put_away(running.stopped())
        self._count_stopped()
        self.session.study_run.over(running.plan)
        self.session.view.ended(trial_title(running.plan.number), state, detail)

    def _close(self, running: RunningTrial, record: TrialRecord) -> None:
        plan = running.plan
        self.session.ended.keep_best_only()
        running.run.finish(trial_ending(record, plan.config.study))
        self.session.study_run.over(plan, seconds=record.outcome.cost.seconds)
        self.session.study_run.ended(record)
        self.session.view.closed(trial_title(plan.number), record.state, record.outcome)
        self._show_count()
        self.session.view.print_progress()

    def _settled(self, running: RunningTrial, outcome: Outcome) -> TrialRecord:
        """Write the record, then end the trial in Optuna: if the process dies in between,
        `recover` ends it from the record. Return the record."""
        record = self._record(running, outcome)
        self.session.ended.write(record)
        del self.running[running.plan.number]
        self.optuna_study.tell(running.trial, outcome, self.feasibility.constraints(record))
        self.snapshots.drop(trial_key(record.number))
        self.session.drop_kept(running.plan, kept_key(running.plan))
        return record

    def _record(self, running: RunningTrial, outcome: Outcome) -> TrialRecord:
        measured = self.feasibility.measured(running.plan.config, outcome)
        return replace(running.record(outcome), measured=measured)

    def _verdict(self, plan: TrialPlan) -> Verdict:
        limit, running = plan.config.study.trial_timeout, self.running[plan.number]
        if self.session.stop.raised:
            return Verdict.INTERRUPT
        if limit is not None and running.seconds > limit:
            return Verdict.TIME_OUT
        return Verdict.PUT_AWAY if self.limits.put_away(to_end=running.to_end) else Verdict.CONTINUE

    def _show_count(self) -> None:
        self.session.view.count(
            self.optuna_study.counted, self.optuna_study.wanted, self.session.ended.best(),
            most=self.limits.most(self.start_rules.begun),
        )  # fmt: skip
