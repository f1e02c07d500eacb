"""The ask / train / tell loop: what happens between Optuna, an engine, the run directory, the tracker and the screen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from optuna.trial import Trial

from sweep.errors import Interrupted
from sweep.provenance import now
from sweep.records import (
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
from sweep.study.ledger import Ledger
from sweep.study.session import Session
from sweep.study.signals import StopFlag, stop_on_signals
from sweep.track.tracker import Run, trial_ending
from sweep.train.engine import Engine


def search(session: Session) -> list[TrialRecord]:
    """Run trials until the study has `n_trials` of them, and give the records of all.

    Raises Interrupted after Ctrl-C or SIGTERM, with everything kept; an exception that is no failure of a point stops
    the study, its trial being recorded as crashed and tried again on resuming.
    """
    with session.view, stop_on_signals() as stop:
        loop = _Loop(session, Ledger.open(session.plan.config.study, session.plan.space, session.store), stop)
        loop.settle()
        if loop.wants_more():
            loop.run(session.engine())
        if stop.raised:
            raise Interrupted(f"stopped; {loop.ledger.counted} of {loop.ledger.wanted} trials are done and kept in "
                              f"{session.store.root}. The same command goes on from here.")  # fmt: skip
    return session.store.trials()


@dataclass(slots=True)
class _Running:
    trial: Trial
    plan: TrialPlan
    run: Run
    started: str
    clock: float
    evals: list[EvalPoint] = field(default_factory=list)


@dataclass(slots=True)
class _Loop:
    session: Session
    ledger: Ledger
    stop: StopFlag
    running: dict[int, _Running] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    def settle(self) -> None:
        """Take up what a killed process left: by its record if there is one, otherwise as lost and to be tried again."""
        store = self.session.store
        records = {record.number: record for record in store.trials()}
        for trial, frozen in list(self.ledger.unsettled()):
            record = records.get(trial.number)
            if record is None:
                plan = self.session.plan.trial(trial.number, frozen.params)
                evals = tuple(event for event in store.events(trial.number) if isinstance(event, EvalPoint))
                lost = Failed(FailureReason.LOST, "the process ended before the trial did", evals, Cost())
                record = self._record(plan, lost, str(frozen.datetime_start), "")
                store.write_trial(record)
                store.drop_best(trial.number)
                self.session.view.say(f"trial {trial.number}: lost when the process ended; its point is tried again")
            self.ledger.tell(trial, record.outcome)

    def wants_more(self) -> bool:
        timeout = self.session.plan.config.study.timeout
        in_time = timeout is None or time.monotonic() - self.began < timeout
        return not self.stop.raised and in_time and self.ledger.counted + len(self.running) < self.ledger.wanted

    def run(self, engine: Engine) -> None:
        self._show_count()
        with self._crashes_recorded():
            engine.run(self._next, self._step, self._evaluated, self._ended)

    def _next(self) -> TrialPlan | None:
        if not self.wants_more():
            return None
        trial, params = self.ledger.ask()
        plan = self.session.plan.trial(trial.number, params)
        run = self.session.tracker.open(plan)
        self.running[plan.number] = _Running(trial, plan, run, now(), time.monotonic())
        self.session.view.begin(plan, f"trial {plan.number}")
        return plan

    def _step(self, plan: TrialPlan, step: Step) -> Verdict:
        if step.metrics:
            self.session.store.append_event(plan.number, step)
            self.running[plan.number].run.log(step.step, step.metrics)
        self.session.view.step(step)
        return self._verdict(plan)

    def _evaluated(self, plan: TrialPlan, point: EvalPoint) -> Verdict:
        running = self.running[plan.number]
        running.evals.append(point)
        self.session.store.append_event(plan.number, point)
        running.run.log(point.step, point.metrics)
        self.session.view.evaluated(point)
        running.trial.report(point.metrics[plan.config.study.metric], point.index)
        if (verdict := self._verdict(plan)) is not Verdict.CONTINUE:
            return verdict
        return Verdict.PRUNE if point.step < plan.total_steps and running.trial.should_prune() else Verdict.CONTINUE

    def _ended(self, plan: TrialPlan, outcome: Outcome) -> None:
        running = self.running.pop(plan.number)
        record = self._record(plan, outcome, running.started, running.run.address)
        # The record first: if the process dies in between, `settle` tells Optuna from it.
        self.session.store.write_trial(record)
        self.ledger.tell(running.trial, outcome)
        self.session.keep_best_only()
        running.run.finish(trial_ending(record, plan.config.study))
        self.session.view.ended(f"trial {plan.number}", record.state, self._detail(outcome))
        self._show_count()

    def _verdict(self, plan: TrialPlan) -> Verdict:
        limit = plan.config.study.trial_timeout
        if self.stop.raised:
            return Verdict.INTERRUPT
        if limit is not None and time.monotonic() - self.running[plan.number].clock > limit:
            return Verdict.TIME_OUT
        return Verdict.CONTINUE

    def _record(self, plan: TrialPlan, outcome: Outcome, started: str, address: str) -> TrialRecord:
        return TrialRecord(
            number=plan.number, params=plan.params, outcome=outcome, command=plan.command,
            total_steps=plan.total_steps, started=started, finished=now(), tracker_run=address,
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
            best.outcome.best.metrics[self.ledger.config.metric]
            if best and isinstance(best.outcome, Completed)
            else None
        )
        self.session.view.count(self.ledger.counted, self.ledger.wanted, best, value)

    @contextmanager
    def _crashes_recorded(self) -> Iterator[None]:
        """Whatever ends the engine ends its trials properly first: in the records, in Optuna and on the dashboard."""
        try:
            yield
        except BaseException as error:
            reason = FailureReason.INTERRUPTED if isinstance(error, KeyboardInterrupt) else FailureReason.CRASHED
            for running in list(self.running.values()):
                cost = Cost(seconds=time.monotonic() - running.clock)
                message = f"{type(error).__name__}: {error}".rstrip(": ")
                self._ended(running.plan, Failed(reason, message, tuple(running.evals), cost))
            raise
