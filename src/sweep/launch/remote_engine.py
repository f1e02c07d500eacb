"""The engine of a study whose trials are trained by the engines of workers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from sweep.engine.protocol import NextTrial, OnTrialEnd, OnTrialEval, OnTrialSnapshot, OnTrialStep, no_snapshot
from sweep.errors import KEPT, Interrupted
from sweep.launch.fair_share import Load, may_have
from sweep.launch.launcher import Search
from sweep.launch.lost import on_host, raise_remote
from sweep.launch.mailbox import GATHERED
from sweep.launch.messages import (
    Asks,
    Done,
    Ended,
    Evaluated,
    Files,
    Key,
    Message,
    Reply,
    RunEngine,
    Saved,
    Stepped,
    Warned,
)
from sweep.launch.team import Brought, Heard, Joined, Lost, Member, Severed, Team
from sweep.launch.worker import unpack
from sweep.records.cost import unfinished_cost
from sweep.records.counted import counts
from sweep.records.device_time import DeviceTime
from sweep.records.snapshot import Snapshot
from sweep.records.trial import Completed, EvalPoint, Failed, FailureReason, Outcome, TrialPlan, Verdict

_A_SECOND = 50.0  # batches that the coordinator takes from all workers: each costs it some milliseconds
_LONGEST = 2.0  # seconds for which a worker gathers: a stop of the study reaches it with the next batch
_TURN = 1.0  # seconds between two looks at the stop flag
_GRACE = 20.0  # seconds for workers to hand back their trials after the connection is lost


@dataclass(slots=True)
class _Remote:
    """A trial on a worker. `outcome` is that of one whose files are on their way."""

    plan: TrialPlan
    evals: list[EvalPoint] = field(default_factory=list)
    seconds: float = 0.0
    outcome: Outcome | None = None


@dataclass(eq=False, slots=True)
class _WorkerState:
    """The trials, verdicts and load of a worker. It `works` from an order to run an engine to the
    end of that run."""

    member: Member
    load: Load = field(default_factory=Load)
    trials: dict[Key, _Remote] = field(default_factory=dict)
    verdicts: dict[Key, Verdict] = field(default_factory=dict)
    works: bool = False


@dataclass(frozen=True, slots=True)
class RemoteEngine:
    """An `Engine` over all workers of a team: each runs an engine of its own.

    Trials are shared out fairly. A worker that dies loses its trials; others are taken in as they
    come. `say` prints a line.
    """

    team: Team
    search: Search
    say: Callable[[str], None] = print

    def run(
        self,
        next_trial: NextTrial,
        on_step: OnTrialStep,
        on_eval: OnTrialEval,
        on_end: OnTrialEnd,
        on_snapshot: OnTrialSnapshot = no_snapshot,
    ) -> None:
        """Train trials until there is none left and no worker trains.

        Raises the error of a worker's engine, and Interrupted where all workers were cut off.
        """
        _Run(self, next_trial, on_step, on_eval, on_end, on_snapshot).loop()


@dataclass(slots=True)
class _Run:
    """One run of the engine, in one thread: its callbacks, and what is known of the workers."""

    engine: RemoteEngine
    next_trial: NextTrial
    on_step: OnTrialStep
    on_eval: OnTrialEval
    on_end: OnTrialEnd
    on_snapshot: OnTrialSnapshot
    workers: dict[Member, _WorkerState] = field(default_factory=dict)
    points: int | None = field(init=False)  # still to be given out
    to_wake: float = math.inf  # idle workers that may find a trial to train
    dry: bool = False  # the study had no trial for a worker that asked, and nothing has changed since
    warned: set[str] = field(default_factory=set)  # lines of workers
    severed: str = ""
    severed_at: float = 0.0

    def __post_init__(self) -> None:
        self.points = self.engine.search.points

    def loop(self) -> None:
        for member in self.engine.team.members:
            self.workers[member] = _WorkerState(member)
        while True:
            self._wake()
            if not self.to_wake and not any(worker.works for worker in self.workers.values()):
                break
            for event in self.engine.team.events(_TURN):
                match event:
                    case Joined(member=member):
                        self.workers.setdefault(member, _WorkerState(member))
                        self.to_wake = max(self.to_wake, 1)
                    case Heard(member=member, batch=batch) if member in self.workers:
                        self._heard(self.workers[member], batch.messages)
                    case Brought(member=member, message=message) if member in self.workers:
                        self._saved(self.workers[member], message)
                    case Lost(member=member, why=why):
                        self._lost(member, why)
                    case Severed(why=why) if not self.severed:
                        self.severed, self.severed_at = why, time.monotonic()
                        self.engine.say(f"{why}: the trials are put away")
            if self._stops():
                self.to_wake = 0
            if self.severed and time.monotonic() - self.severed_at > _GRACE:
                break
        if self.severed:
            self._end_severed()

    def _stops(self) -> bool:
        return bool(self.severed) or self.engine.search.stopping()

    def _wake(self) -> None:
        """Let idle workers run an engine, as long as there may be trials for them."""
        for worker in self.workers.values():
            if self.to_wake and not worker.works and not worker.member.leaving:
                self.to_wake -= 1
                worker.works, worker.load = True, Load()
                self.engine.team.send(worker.member, Reply(order=RunEngine(self.engine.search.study)))

    def _heard(self, worker: _WorkerState, messages: tuple[Message, ...]) -> None:
        answer: Any = None
        for message in messages:
            match message:
                case Stepped(key=key, step=step):
                    self._stepped(worker, key, step)
                case Evaluated(key=key, point=point):
                    trial = worker.trials[key]
                    trial.evals.append(point)
                    answer = self.on_eval(trial.plan, point)
                    if self.dry:  # a paused trial may be promoted now
                        self._look_again()
                case Saved():
                    self._saved(worker, message)
                case Asks():
                    answer = self._next(worker)
                case Ended(key=key, outcome=outcome):
                    answer = self._ended(worker, key, outcome)
                case Files(key=key, data=data):
                    self._end_with_files(worker, key, data)
                case Warned(text=text):
                    self._warned(worker.member.facts.host, text)
                case Done(error=error, trace=trace):
                    self._done(worker, error, trace)
                    return
        more = not self._stops() and not self.dry and (not worker.load.refused or self._may_have(worker))
        reply = Reply(
            answer, dict(worker.verdicts), more=more, leave=self._stops(), gather=gathering(len(self.workers))
        )
        self.engine.team.send(worker.member, reply)

    def _warned(self, host: str, text: str) -> None:
        """Print a line of a worker, once for all workers of a host."""
        line = on_host(text, host)
        if line not in self.warned:
            self.warned.add(line)
            self.engine.say(line)

    def _stepped(self, worker: _WorkerState, key: Key, step: Any) -> None:
        trial = worker.trials.get(key)
        if trial is None:  # a step that came after the trial's end
            return
        trial.seconds = step.seconds
        if step.step:  # a step 0 only asks for a verdict
            worker.load.stepped()
        if (verdict := self.on_step(trial.plan, step)) is not Verdict.CONTINUE:
            worker.verdicts[key] = verdict

    def _saved(self, worker: _WorkerState, message: Saved) -> None:
        if message.key in worker.trials:
            self.on_snapshot(worker.trials[message.key].plan, Snapshot(message.data))

    def _next(self, worker: _WorkerState) -> TrialPlan | None:
        if self._stops():
            return None
        plan = self.next_trial() if (allowed := self._may_have(worker)) else None
        if plan is None:
            self.dry = self.dry or allowed
            worker.load.refused = True
            if self.dry or not worker.load.held:
                self.to_wake = 0  # until a trial ends
            return None
        worker.load.given()
        worker.trials[plan.key] = _Remote(plan)
        if self.points is not None:
            self.points = max(self.points - 1, 0)
        self.to_wake = max(self.to_wake, 1)
        return replace(plan, host=worker.member.facts.host, worker=worker.member.name)

    def _may_have(self, worker: _WorkerState) -> bool:
        loads = [each.load for each in self.workers.values() if each.works]
        left = None if self.points is None else self.points + sum(load.held for load in loads)
        coming = max(self.engine.team.expected - len(self.workers), 0)
        return may_have(worker.load, loads, coming=coming, points=left, at_once=self.engine.search.at_once())

    def _ended(self, worker: _WorkerState, key: Key, outcome: Outcome) -> bool:
        """End a trial, unless the files of its adapters are wanted first. Return whether they
        are."""
        trial, search = worker.trials[key], self.engine.search
        trial.outcome = self._placed(worker.member, outcome)
        wanted = isinstance(outcome, Completed) and search.best_dir(trial.plan) is not None
        if wanted and search.leads(trial.plan, trial.outcome):
            return True
        self._end(worker, key, trial.outcome)
        return False

    def _end_with_files(self, worker: _WorkerState, key: Key, data: bytes) -> None:
        trial = worker.trials[key]
        folder = self.engine.search.best_dir(trial.plan)
        assert folder is not None and trial.outcome is not None, "the files were asked for"
        unpack(data, folder.parent)
        self._end(worker, key, trial.outcome)

    def _end(self, worker: _WorkerState, key: Key, outcome: Outcome) -> None:
        trial = worker.trials.pop(key)
        worker.verdicts.pop(key, None)
        worker.load.ended()
        if self.points is not None and not counts(outcome):
            self.points += 1  # it may go on
        self._look_again()
        self.on_end(trial.plan, outcome)

    def _look_again(self) -> None:
        """Let the next idle worker ask the study for a trial: there may be one by now, or the
        worker that was about to ask is gone."""
        self.to_wake, self.dry = max(self.to_wake, 1), False

    def _placed(self, member: Member, outcome: Outcome) -> Outcome:
        cost = replace(outcome.cost, host=member.facts.host, worker=member.name)
        return replace(outcome, cost=cost)

    def _done(self, worker: _WorkerState, error: BaseException | None, trace: str) -> None:
        worker.works = False
        if error is not None:
            raise_remote(error, trace, worker.member.facts.host)
        if worker.member.leaving:
            self._look_again()
            self.workers.pop(worker.member)
            self.engine.team.release(worker.member)
            self.engine.say(f"the worker on {worker.member.facts.host} leaves; its trials go on elsewhere")

    def _lost(self, member: Member, why: str) -> None:
        worker = self.workers.pop(member, None)
        if worker is None:
            return
        self._look_again()
        self.engine.say(f"the worker on {member.facts.host} died: {why}")
        message, together = f"its worker on {member.facts.host} died: {why}", len(worker.trials)
        for key, trial in list(worker.trials.items()):
            lost = replace(self._unfinished(member, trial, FailureReason.LOST, message), together=together)
            self._end(worker, key, trial.outcome or lost)

    def _end_severed(self) -> None:
        for worker in self.workers.values():
            for key, trial in list(worker.trials.items()):
                reason = FailureReason.INTERRUPTED
                self._end(worker, key, trial.outcome or self._unfinished(worker.member, trial, reason, self.severed))
        raise Interrupted(f"{self.severed}. {KEPT}")

    def _unfinished(self, member: Member, trial: _Remote, reason: FailureReason, message: str) -> Failed:
        place = DeviceTime(member.facts.device_name, member.facts.host, member.name)
        cost = unfinished_cost(trial.plan.snapshot, place, trial.seconds)
        return Failed(reason, message, tuple(trial.evals), cost)


def gathering(workers: int) -> float:
    """Return the seconds for which each of so many workers gathers steps."""
    return min(max(GATHERED, workers / _A_SECOND), _LONGEST)
