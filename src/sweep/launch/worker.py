"""A worker: a thread that runs an engine, or calls an object that it hosts, by order of the
coordinator."""

from __future__ import annotations

import io
import pickle
import shutil
import tarfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

from sweep.engine import memory
from sweep.engine.protocol import Engine
from sweep.errors import first_line, naming
from sweep.launch.kept_snapshots import kept_key, kept_snapshots, newest
from sweep.launch.mailbox import Mailbox
from sweep.launch.messages import (
    Answer,
    Batch,
    Call,
    Called,
    Close,
    Done,
    Ended,
    Evaluated,
    Files,
    Key,
    Open,
    Order,
    Reply,
    RunEngine,
    Saved,
    Stepped,
)
from sweep.launch.workspace import Workspace
from sweep.records.snapshot import Snapshot
from sweep.records.snapshots import Snapshots
from sweep.records.trial import EvalPoint, Failed, FailureReason, Outcome, Step, TrialPlan, Verdict

MakeEngine = Callable[[Workspace, Callable[[TrialPlan], Path | None]], Engine]

KEPT = ("best", "newest")  # folders of a trial's adapters


@dataclass(slots=True)
class Worker:
    """Carries out orders one after the other, in a thread of its own.

    `put` gives what is sent in place of many bytes. `make_engine` replaces the engine of the
    config.
    """

    workspace: Workspace
    put: Callable[[bytes], Any] = lambda data: data
    make_engine: MakeEngine = Workspace.engine
    mailbox: Mailbox = field(default_factory=Mailbox)
    ending: str = ""  # why the worker was told to end
    _kept: Snapshots = field(default_factory=lambda: Snapshots(Path()))  # set by the order to run an engine
    _hosted: Any = None

    def start(self) -> None:
        """Start the thread."""
        Thread(target=self._work, name="worker", daemon=True).start()

    def exchange(self, reply: Reply) -> Batch:
        """Pass on a reply, and return what the worker says."""
        messages = self.mailbox.exchange(reply)
        return Batch(messages, self._memory_in_use(), leaving=bool(self.ending))

    def end(self, why: str) -> None:
        """Let trials be snapshotted and handed back."""
        self.ending, self.mailbox.leaving = why, True

    @property
    def hosts(self) -> bool:
        """Return whether an object is open."""
        return self._hosted is not None

    def _memory_in_use(self) -> int:
        known = "base_models" in vars(self.workspace)
        return memory.in_use(self.workspace.base_models.device) if known else 0

    def _work(self) -> None:
        while True:
            order = self.mailbox.order()
            try:
                self.mailbox.tell(Done(self._done(order)))
            except BaseException as error:
                self.mailbox.tell(Done(error=picklable(error), trace="".join(traceback.format_exception(error))))

    def _done(self, order: Order) -> Any:
        match order:
            case RunEngine(study=study):
                self._kept = kept_snapshots(study)
                return self._run()
            case Answer(question=question, args=args, kwargs=kwargs):
                return question(self.workspace, *args, **kwargs)
            case Open(make=make):
                self._hosted = make(self.workspace.base_models, self.workspace.data)
            case Call(method=method, args=args, callbacks=callbacks):
                return getattr(self._hosted, method)(*args, *([Callbacks(self.mailbox)] if callbacks else []))
            case Close():
                hosted, self._hosted = self._hosted, None
                hosted.close()
        return None

    def _run(self) -> None:
        self.mailbox.leaving = bool(self.ending)
        engine = self.make_engine(self.workspace, self._best_dir)
        try:
            engine.run(self._next, self._step, self._evaluated, self._ended, self._saved)
        finally:
            shutil.rmtree(self._folders, ignore_errors=True)

    def _next(self) -> TrialPlan | None:
        plan: TrialPlan | None = self.mailbox.next_trial()
        if plan is not None and plan.kept_on_worker:
            return replace(plan, snapshot=newest(plan.snapshot, self._kept, kept_key(plan)))
        return plan

    def _step(self, plan: TrialPlan, step: Step) -> Verdict:
        self.mailbox.tell(Stepped(plan.key, step))
        return self.mailbox.verdict(plan.key)

    def _evaluated(self, plan: TrialPlan, point: EvalPoint) -> Verdict:
        verdict: Verdict = self.mailbox.ask(Evaluated(plan.key, point))
        return self.mailbox.verdict(plan.key) if verdict is Verdict.CONTINUE else verdict

    def _saved(self, plan: TrialPlan, snapshot: Snapshot) -> None:
        if plan.kept_on_worker:
            self._kept.write(kept_key(plan), snapshot)
        else:
            self.mailbox.tell(Saved(plan.key, self.put(snapshot.data)))

    def _ended(self, plan: TrialPlan, outcome: Outcome) -> None:
        key, folder = plan.key, self._folder(plan.key)
        if self.mailbox.ask(Ended(key, self._explained(outcome))):
            self.mailbox.ask(Files(key, self.put(packed(folder))))
        shutil.rmtree(folder, ignore_errors=True)
        if plan.kept_on_worker and not (isinstance(outcome, Failed) and outcome.reason.retried):
            self._kept.drop(kept_key(plan))

    def _explained(self, outcome: Outcome) -> Outcome:
        """Return the outcome; one of a trial that ends with its worker says so."""
        if self.ending and isinstance(outcome, Failed) and outcome.reason is FailureReason.INTERRUPTED:
            return Failed(outcome.reason, f"{self.ending}, {outcome.message}", outcome.evals, outcome.cost)
        return outcome

    def _best_dir(self, plan: TrialPlan) -> Path | None:
        return self._folder(plan.key) / KEPT[0] if plan.config.trainer.save_best else None

    def _folder(self, key: Key) -> Path:
        return self._folders / f"{key[0]:04d}-{key[1]}"

    @property
    def _folders(self) -> Path:
        return self.workspace.scratch / "trials"


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Stands on the worker for an object of the coordinator: its methods are called there."""

    mailbox: Mailbox

    @property
    def leaving(self) -> bool:
        """Return whether the worker was told to end."""
        return self.mailbox.leaving

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method.startswith("__"):
            raise AttributeError(method)
        return partial(self._call, method)

    def _call(self, method: str, *args: Any) -> Any:
        return self.mailbox.ask(Called(method, args))


def packed(folder: Path) -> bytes:
    """Return the adapters in a trial's folder as a tar file."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for name in KEPT:
            if (folder / name).is_dir():
                tar.add(folder / name, name)
    return target.getvalue()


def unpack(data: bytes, folder: Path) -> None:
    """Write the adapters of a `packed` folder to another one, in place of those that are there.

    Raises OSError that names a file or folder of it.
    """
    fresh = folder / f"{KEPT[0]}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    with naming(fresh), tarfile.open(fileobj=io.BytesIO(data)) as tar:
        tar.extractall(fresh, filter="data")
    for name in KEPT:
        if (fresh / name).is_dir():
            shutil.rmtree(folder / name, ignore_errors=True)
            (fresh / name).replace(folder / name)
    shutil.rmtree(fresh, ignore_errors=True)


def picklable(error: BaseException) -> BaseException:
    """Return the error, or one with the same text where it cannot be pickled and read again."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {first_line(error)}")
    return error
