"""The trials that an earlier process left in the storage: ended by their records, made to wait
until they go on, or given up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from optuna.trial import FrozenTrial, Trial

from sweep.config.schema import Scalar
from sweep.engine.before_start import saved_cost
from sweep.errors import UserError
from sweep.provenance import now, utc
from sweep.records.cost import Cost, unfinished_cost
from sweep.records.device_time import DeviceTime
from sweep.records.marks import UnfinishedState
from sweep.records.snapshot import Snapshot
from sweep.records.snapshots import TRIAL, Snapshots, trial_key
from sweep.records.trial import (
    EvalPoint,
    Failed,
    FailureReason,
    Outcome,
    Pruned,
    Step,
    TrialPlan,
    TrialRecord,
    steps_of_folds,
)
from sweep.search.promotion import is_paused
from sweep.study.attributes import PROMOTIONS, recovered_outcome
from sweep.study.does_not_fit import DoesNotFitError
from sweep.study.feasibility import Feasibility
from sweep.study.memory_prediction import Forecasts
from sweep.study.optuna_study import OptunaStudy
from sweep.study.paused_trials import PausedTrials
from sweep.study.running import Stopped
from sweep.study.session import Session
from sweep.track.tracker import JobType, StoppedRun, cut_trial, go_on, trial_ending

GIVEN_UP = "it was lost three times without getting further, and is not tried again"


@dataclass(frozen=True, slots=True)
class Recovery:
    """Takes in what an earlier process left of a study, before its search goes on."""

    session: Session
    optuna_study: OptunaStudy
    snapshots: Snapshots
    paused: PausedTrials
    feasibility: Feasibility

    def run(self) -> list[Stopped]:
        """Make the records, the storage, the snapshots and the dashboard agree. Return the trials
        that go on, by number; `paused` takes in those that the pruner has paused."""
        self._drop_unknown()
        records = {record.number: record for record in self.session.ended.records}
        for ended in self.optuna_study.ended():
            if ended.number not in records:
                self._make_record(ended)
        left: list[tuple[Trial, FrozenTrial]] = []
        for trial, frozen in list(self.optuna_study.left_running()):
            if (record := records.get(trial.number)) is None:
                left.append((trial, frozen))
            else:
                self.session.store.forget_pause(trial.number)
                self.optuna_study.tell(trial, record.outcome, self.feasibility.constraints(record))
        waiting = self._waiting(left)
        self.session.ended.keep_best_only()
        for record in self.session.ended.records:
            self._leave(record)
        return waiting

    def _drop_unknown(self) -> None:
        """Delete the snapshots of trials that the storage does not know: it is another one than
        that of their study, whose numbers are given again."""
        known = {trial_key(number) for number in self.optuna_study.given}
        for key in self.snapshots.keys():  # noqa: SIM118  # no mapping
            if key.startswith(TRIAL) and key not in known:
                self.snapshots.drop(key)

    def _waiting(self, left: Sequence[tuple[Trial, FrozenTrial]]) -> list[Stopped]:
        """Return those of the trials without a record that go on. The others are paused or lost.

        All losses are counted before a mark is deleted: after a kill in between, the next process
        finds as many trials that were lost together.
        """
        store = self.session.store
        killed = [trial for trial, _ in left if store.marks(trial.number).state() is UnfinishedState.KILLED]
        given_up = {trial.number for trial in killed if self._is_given_up(trial, together=len(killed))}
        waiting: list[Stopped] = []
        for trial, frozen in left:
            if not self.optuna_study.is_complete(frozen.params):
                self._lose(trial, frozen, "the process ended before the trial had all its values", given_up=False)
            elif trial.number in given_up:
                message = f"the process ended before the trial did; {GIVEN_UP}"
                self._lose(trial, frozen, message, given_up=True)
            elif not self._taken_in(stopped := Stopped(trial, frozen.params, utc(frozen.datetime_start)), frozen):
                store.forget_pause(trial.number)
                store.marks(trial.number).clear()
                waiting.append(stopped)
        return waiting

    def _is_given_up(self, trial: Trial, *, together: int) -> bool:
        """Count the loss of a trial that was trained when the process was killed, with so many in
        all. Return whether its point is given up."""
        store, number = self.session.store, trial.number
        reached = max((event.step for event in store.events(number)), default=0)
        step = max(reached, self.snapshots.step(trial_key(number)))
        return self.optuna_study.lost(trial, step, together=together, begun=store.marks(number).begun)

    def _taken_in(self, stopped: Stopped, frozen: FrozenTrial) -> bool:
        """Return whether a trial that goes on is paused: `paused` has taken it in."""
        if not is_paused(frozen):
            return False
        record = self.session.store.pause(stopped.number) or self._paused_record(stopped, frozen)
        if record is not None:
            self.paused.recover(stopped, record)
        return record is not None

    def _paused_record(self, stopped: Stopped, frozen: FrozenTrial) -> TrialRecord | None:
        """Return the record that a paused trial gets unless it is promoted, made of its events and
        its snapshot: the process was killed before it was written. None where it has no snapshot
        of that moment: the trial goes on, and is paused where it was."""
        store, number = self.session.store, stopped.number
        promotions = frozen.user_attrs.get(PROMOTIONS, 0)
        evals = tuple(event for event in store.events(number) if isinstance(event, EvalPoint))
        plan = self._plan(number, stopped.params)
        if (cost := cost_at_pause(plan, self.snapshots.read(trial_key(number)), evals)) is None:
            return None
        record = unplanned(self.optuna_study, number, stopped.params, Pruned(evals, cost), stopped.started)
        return replace(
            planned(record, plan, self.feasibility), tracker_run=store.run_address(number),
            pauses=promotions + 1, promotions=promotions,
        )  # fmt: skip

    def _lose(self, trial: Trial, frozen: FrozenTrial, message: str, *, given_up: bool) -> None:
        """Record a trial as lost. Unless it is `given_up`, its point is asked for again."""
        store, number = self.session.store, trial.number
        events = store.events(number)
        evals = tuple(event for event in events if isinstance(event, EvalPoint))
        saved = self.snapshots.read(trial_key(number))
        cost = Cost() if saved is None else cost_until(saved, self.session.plan.config.dataset.folds)
        lost = Failed(FailureReason.LOST, message, evals, cost, given_up=given_up)
        record = replace(
            unplanned(self.optuna_study, number, frozen.params, lost, utc(frozen.datetime_start)),
            total_steps=max((event.total_steps for event in events if isinstance(event, Step)), default=0),
            tracker_run=store.run_address(number),
        )
        self.session.ended.write(record)
        store.drop_best(number)
        self.session.view.say(f"trial {number}: lost, {message}")
        self.session.tracker.complete(cut_trial(record, events, self.session.plan.config.study))
        self.optuna_study.tell(trial, lost)

    def _make_record(self, ended: FrozenTrial) -> None:
        """Write the record of a trial that has ended in Optuna, from the storage and the trial's
        events."""
        store, study = self.session.store, self.session.plan.config.study
        events = store.events(ended.number)
        outcome = recovered_outcome(ended, events, study)
        record = unplanned(self.optuna_study, ended.number, ended.params, outcome, utc(ended.datetime_start))
        with suppress(UserError):  # values that break a rule together have no plan
            record = planned(record, self._plan(ended.number, ended.params), self.feasibility)
        self.session.ended.write_again(
            replace(record, finished=utc(ended.datetime_complete), tracker_run=store.run_address(ended.number))
        )
        self.session.view.say(
            f"trial {ended.number}: its record is made again, from Optuna's storage and the trial's events"
        )

    def _plan(self, number: int, params: Mapping[str, Scalar]) -> TrialPlan:
        """Return the plan of a trial that was trained, with its effective batch divided as memory
        held it. Raises UserError where its values break a rule together."""
        plan = self.session.plan.trial(number, params)
        if plan.config.trainer.effective_batch_size is None:
            return plan
        with suppress(DoesNotFitError):  # by figures that were measured since it was trained
            return Forecasts.recorded(self.session).fitted(plan)
        return plan

    def _leave(self, record: TrialRecord) -> None:
        """Delete the snapshot of a trial that has ended, and end its run on the dashboard."""
        self.snapshots.drop(trial_key(record.number))
        if self.session.tracker.left_open(record.tracker_run):
            events, study = self.session.store.events(record.number), self.session.plan.config.study
            self.session.tracker.complete(cut_trial(record, events, study))


def cost_at_pause(plan: TrialPlan, snapshot: Snapshot | None, evals: Sequence[EvalPoint]) -> Cost | None:
    """Return the cost of a trial that was paused at the last of `evals`, from its snapshot. None
    where it has none, or one that was taken before the evaluation."""
    if snapshot is None or not evals:
        return None
    # None for several folds: their snapshot counts the steps of all.
    known = saved_cost(replace(plan, snapshot=snapshot))
    if known is not None and snapshot.step < evals[-1].step:
        return None
    steps = steps_of_folds(evals[-1].step, plan.config.dataset.folds)
    return replace(known or unfinished_cost(snapshot, DeviceTime(), 0.0), steps=steps)


def cost_until(snapshot: Snapshot | None, folds: int | None) -> Cost:
    """Return the cost of a trial of so many `folds` up to its snapshot: what is known of one that
    does not go on."""
    steps = steps_of_folds(snapshot.step if snapshot else 0, folds)
    return replace(unfinished_cost(snapshot, DeviceTime(), 0.0), steps=steps)


def unplanned(
    optuna_study: OptunaStudy, number: int, params: Mapping[str, Scalar], outcome: Outcome, started: str
) -> TrialRecord:
    """Return the record of a trial without a plan, whose values may not compose."""
    return TrialRecord(number, dict(params), outcome, "", 0, started, now(), place=optuna_study.place(number))


def untrainable(
    session: Session, optuna_study: OptunaStudy, snapshots: Snapshots, stopped: Stopped, failed: Failed
) -> TrialRecord:
    """Return the record of a trial whose point cannot be trained, or not any more: with the
    evaluations, the cost and the run of its training so far, where it goes on."""
    store, number, promotions = session.store, stopped.number, stopped.trial.user_attrs.get(PROMOTIONS, 0)
    if events := store.events(number):
        evals = tuple(event for event in events if isinstance(event, EvalPoint))
        cost = cost_until(snapshots.read(trial_key(number)), session.plan.config.dataset.folds)
        failed = replace(failed, evals=evals, cost=cost)
    return replace(
        unplanned(optuna_study, number, stopped.params, failed, stopped.started),
        tracker_run=store.run_address(number), pauses=promotions, promotions=promotions,
    )  # fmt: skip


def end_run(session: Session, stopped: Stopped, record: TrialRecord, plan: TrialPlan | None) -> None:
    """End the run of a trial that was stopped and does not go on, where it has one. It is opened
    again by its `plan`, where it is not open."""
    run = stopped.run
    if run is None and plan is not None and record.tracker_run:
        events = session.store.events(record.number)
        run = go_on(session.tracker, plan, StoppedRun(JobType.TRIAL, record.tracker_run, events))
    if run is not None:
        run.finish(trial_ending(record, session.plan.config.study))


def planned(record: TrialRecord, plan: TrialPlan, feasibility: Feasibility) -> TrialRecord:
    """Return the record with what is known by the plan of its trial, measured values among it."""
    return replace(
        record, command=plan.command, total_steps=plan.total_steps, used=plan.used,
        measured=feasibility.measured(plan.config, record.outcome),
    )  # fmt: skip
