"""A tracker in a thread of its own: the study does not wait for its rows, and its errors do not
reach the study.

Rows and endings go into a queue. The study waits for the address of a new run and at the end, for
as long as `Patience` allows. The first failure is reported in one line; the rest of that run is
left out, and the next run is tried again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import Generic, TypeVar

from sweep.config.schema import Config
from sweep.config.secrets import scrub
from sweep.errors import first_line
from sweep.records.trial import Metrics, TrialPlan
from sweep.track.addresses import labelled, own_address
from sweep.track.null import NullRun, NullTracker
from sweep.track.patience import STOPPED, Patience
from sweep.track.tracker import Alert, CutRun, Ending, JobType, Run, Say, StoppedRun, Tracker, send_alert

# Additional seconds for the first call, in which the tracker imports its client and creates its
# tables.
_FIRST = 30.0
# Bytes of a model that a working disk or server takes in a second.
_UPLOAD = 5e6

T = TypeVar("T")


@dataclass(slots=True)
class _Task(Generic[T]):
    """One call. `result` is None until `done`, and where the call failed or was left out."""

    what: str
    action: Callable[[], T]
    done: Event = field(default_factory=Event)
    result: T | None = None


class ThreadedTracker:
    """A tracker that runs in its own thread. `make` starts it; if it fails, nothing is tracked."""

    def __init__(self, name: str, make: Callable[[], Tracker], *, say: Say, patience: Patience) -> None:
        self.name = name
        self._say = say
        self._patience = patience
        self._tracker: Tracker = NullTracker()
        self._tasks: SimpleQueue[_Task[object] | None] = SimpleQueue()
        self._told = self._told_new_run = self._off = self._stuck = False
        self._first = _FIRST
        self._artifacts: list[Path] = []
        self.incomplete = 0
        Thread(target=self._work, daemon=True, name=f"tracker {name}").start()
        self._submit("start", lambda: self._start(make))

    def open(self, trial: TrialPlan, job_type: JobType = JobType.TRIAL) -> Run:
        return self._opened("start a run", lambda: self._tracker.open(trial, job_type))

    def open_study(self, config: Config) -> Run:
        return self._opened("start the study's run", lambda: self._tracker.open_study(config))

    def open_comparison(self, name: str, compared: Mapping[str, Config]) -> Run:
        return self._opened("start the comparison's run", lambda: self._tracker.open_comparison(name, compared))

    def resume(self, trial: TrialPlan, stopped: StoppedRun) -> Run | None:
        """Return the run that goes on; None where the tracker has no such run, or cannot go on
        with it. A user's tracker may lack the method."""
        return self._resumed("resume", trial, stopped, "a stopped trial")

    def resume_study(self, config: Config, stopped: StoppedRun) -> Run | None:
        """Return the study's run that goes on, as `resume` does."""
        return self._resumed("resume_study", config, stopped, "a stopped study")

    def _resumed(self, method: str, about: TrialPlan | Config, stopped: StoppedRun, whose: str) -> Run | None:
        own = replace(stopped, address=own_address(stopped.address, self.name))
        if not own.address:
            return None

        def resumed() -> tuple[Run, str] | None:
            resume = getattr(self._tracker, method, None)
            run = None if resume is None else resume(about, own)
            if run is None:
                self._tell_new_run(whose)
            return None if run is None else (run, run.address)

        found = self._answer("go on with a run", resumed)
        return None if found is None else ThreadedRun(self, found[0], labelled(self.name, found[1]))

    def left_open(self, address: str) -> bool:
        """Return the tracker's answer for its part of the address; False if it has none."""
        own = own_address(address, self.name)
        return bool(own) and bool(self._answer("say which runs are open", lambda: self._tracker.left_open(own)))

    def complete(self, cut: CutRun) -> bool:
        own = replace(cut, address=own_address(cut.address, self.name))
        what = f"complete the {cut.job_type} run of trial {cut.number}"
        return bool(own.address) and bool(self._answer(what, lambda: self._tracker.complete(own)))

    def close(self) -> tuple[str, ...]:
        """Wait for the queue within the remaining time; after a second signal do not wait. Return
        lines for the user."""
        if self._stuck:
            return ()
        patience = self._patience
        task = self._submit("close", lambda: self._tracker.close())
        self._tasks.put(None)
        limit = max(patience.usual, patience.left) + self._first + sum(map(_upload, self._artifacts))
        if not patience.wait(task.done, STOPPED if patience.stop.raised else limit):
            if not patience.stop.at_once:
                self._give_up("did not take everything in time")
            return ()
        return (*(task.result or ()), *self._left_out())

    def attach(self, ending: Ending) -> None:
        """Allow more time at the end for the upload of a model."""
        if ending.artifact is not None:
            self._artifacts.append(ending.artifact)

    def run_task(self, what: str, action: Callable[[], object], lost: Callable[[], None]) -> None:
        """Queue a call of a run. If it fails, `lost` is called in the tracker's thread."""

        def guarded() -> None:
            try:
                action()
            except Exception:
                lost()
                raise

        self._submit(what, guarded)

    def _start(self, make: Callable[[], Tracker]) -> None:
        try:
            self._tracker = make()
        except BaseException:
            self._off = True
            raise

    def _opened(self, what: str, action: Callable[[], Run]) -> Run:
        def opened() -> tuple[Run, str]:
            run = action()
            return run, run.address

        if (found := self._answer(what, opened)) is None:
            return NullRun()
        run, address = found
        return ThreadedRun(self, run, labelled(self.name, address))

    def _answer(self, what: str, action: Callable[[], T]) -> T | None:
        """Return the tracker's answer.

        None if it fails, or does not answer in time, after which it is given up.
        """
        if self._off:
            return None
        patience, extra, began = self._patience, self._first, time.monotonic()
        task = self._submit(what, action)
        limit = STOPPED if patience.stop.raised else max(patience.usual, patience.left) + extra
        before = patience.stop.raised
        done = patience.wait(task.done, limit)
        if not done and patience.stop.raised is not before:
            return None  # the user stopped the study while it waited
        self._first = 0.0
        patience.count(time.monotonic() - began, extra=extra, failed=not done)
        if not done:
            self._give_up(f"did not {what} within {limit:.0f} s")
            return None
        return task.result

    def _submit(self, what: str, action: Callable[[], T]) -> _Task[T]:
        task = _Task(what, action)
        self._tasks.put(task)  # type: ignore[arg-type]  # only its own caller reads the result
        return task

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                if not self._off:
                    task.result = task.action()
            except (Exception, SystemExit) as error:  # of a library or the user's own class: none may end a study
                self._tell(f"failed to {task.what} ({_described(error)})")
            finally:
                task.done.set()

    def _give_up(self, reason: str) -> None:
        """Send the tracker nothing more. Its thread stays in the call that does not return."""
        self._off = self._stuck = True
        self._tell(f"{reason}, and gets nothing more")

    def _tell(self, reason: str) -> None:
        """Print a line on the first failure alone."""
        if not self._told:
            self._told = True
            self._say(f"{self.name} {reason}; the run directory has everything.")

    def _tell_new_run(self, whose: str) -> None:
        """Print a line the first time that a run cannot be gone on with."""
        if not self._told_new_run:
            self._told_new_run = True
            self._say(f"{self.name} cannot go on with the run of {whose}: it gets a new run with all rows.")

    def _left_out(self) -> tuple[str, ...]:
        count = self.incomplete
        return (f"{self.name}: {count} run{'' if count == 1 else 's'} incomplete",) if count else ()


class ThreadedRun:
    """A run of a `ThreadedTracker`. After a failed row no other row is sent, but the ending is."""

    def __init__(self, owner: ThreadedTracker, run: Run, address: str) -> None:
        self.address = address
        self._owner = owner
        self._run = run
        self._lost = False

    def log(self, step: int, metrics: Metrics) -> None:
        row = dict(metrics)
        self._owner.run_task("log a row", lambda: None if self._lost else self._run.log(step, row), self._lose)

    def alert(self, alert: Alert) -> None:
        self._owner.run_task("send an alert", lambda: send_alert(self._run, alert), lambda: None)

    def finish(self, ending: Ending) -> None:
        self._owner.attach(ending)
        self._owner.run_task("end a run", lambda: self._run.finish(ending), self._lose)

    def _lose(self) -> None:
        if not self._lost:
            self._lost = True
            self._owner.incomplete += 1


def _described(error: BaseException) -> str:
    """Return the class and the first line of an error, without secrets."""
    said = scrub(first_line(error))
    kind = type(error).__name__
    return said if said == kind else f"{kind}: {said}"


def _upload(folder: Path) -> float:
    """Return the seconds that the upload of a model takes."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / _UPLOAD
