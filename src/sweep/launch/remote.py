"""The launchers `local` and `ray`: engines run on workers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

from sweep.config.custom_code import imported_states
from sweep.config.schema import Config
from sweep.engine.protocol import Engine
from sweep.errors import KEPT, Interrupted, UserError
from sweep.launch.actor import Spec, python
from sweep.launch.code import code_fingerprint, own_names, sent_code, versions
from sweep.launch.launcher import Hosted, Make, Search
from sweep.launch.lost import WorkerLostError, on_host, raise_remote
from sweep.launch.messages import Answer, Call, Called, Close, Done, Open, Order, Reply, Warned
from sweep.launch.ray_cluster import Cluster, connected
from sweep.launch.ray_team import RayTeam
from sweep.launch.remote_engine import RemoteEngine
from sweep.launch.team import Heard, Lost, Member, Severed, Team
from sweep.launch.worker import MakeEngine
from sweep.launch.worker_layout import WorkerLayout
from sweep.launch.workspace import Facts, Workspace
from sweep.model.source import fingerprint
from sweep.plan.plan import Plan

T = TypeVar("T")
P = ParamSpec("P")

_TURN = 1.0  # seconds
_LOSSES = 3  # of workers over one question


@dataclass(slots=True)
class Lines:
    """Prints lines for the user, by a function that may be replaced."""

    printed: Callable[[str], None]

    def say(self, line: str) -> None:
        self.printed(line)


@dataclass
class Remote:
    """Runs engines on the workers of a team."""

    team: Team
    lines: Lines
    inline: bool = False
    stopping: Callable[[], bool] = lambda: False  # whether the user stopped the study

    def facts(self) -> Facts:
        return self._idle().facts

    def workers_on_host(self) -> int:
        return self.team.workers_on_host(self._idle())

    def ask(self, question: Callable[Concatenate[Workspace, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        lost: list[str] = []
        while len(lost) < _LOSSES:
            try:
                found: T = self._ordered(self._idle(), Answer(question, args, kwargs))
                return found
            except WorkerLostError as error:
                self.lines.say(str(error))
                lost.append(str(error))
        rule = f"one worker after the other was lost while it was asked about the trials: {lost[-1]}"
        raise UserError.of("launcher", f"{rule}. Look at what ends the workers, such as the limit of their memory")

    def engine(self, search: Search) -> Engine:
        return RemoteEngine(self.team, search, self.lines.say)

    @contextmanager
    def hosted(self, make: Make) -> Iterator[Hosted]:
        member = self._idle()
        self._ordered(member, Open(make))
        there = _There(self, member)
        yield there
        if not there.lost:
            with suppress(WorkerLostError):  # what the object did is done
                self._ordered(member, Close())

    def memory_in_use(self) -> int:
        return sum(member.memory for member in self.team.members)

    def tell_by(self, say: Callable[[str], None], stopping: Callable[[], bool]) -> None:
        self.lines.printed, self.stopping = say, stopping

    def _idle(self) -> Member:
        """Return a worker; wait for one where there is none, unless the user stops the study."""
        while True:
            for leaving in [member for member in self.team.members if member.leaving]:
                self.team.release(leaving)
            if self.stopping():
                raise Interrupted("stopped; the same command goes on from here.")
            if found := [member for member in self.team.members if not member.leaving]:
                return found[0]
            for event in self.team.events(_TURN):
                if isinstance(event, Severed):
                    raise Interrupted(f"{event.why}. {KEPT}")

    def _ordered(self, member: Member, order: Order, callbacks: object | None = None) -> Any:
        """Return what a worker's order gives. Raises its error, and WorkerLostError."""
        self.team.send(member, Reply(order=order))
        while True:
            for event in self.team.events(_TURN):
                match event:
                    case Heard(member=one, batch=batch) if one is member:
                        answer: Any = None
                        for message in batch.messages:
                            match message:
                                case Done(value=value, error=None):
                                    return value
                                case Done(error=BaseException() as error, trace=trace):
                                    raise_remote(error, trace, member.facts.host)
                                case Called(method=method, args=args):
                                    answer = getattr(callbacks, method)(*args)
                                case Warned(text=text):
                                    self.lines.say(on_host(text, member.facts.host))
                        self.team.send(member, Reply(answer))
                    case Lost(member=one, why=why) if one is member:
                        raise WorkerLostError(member.facts.host, why)
                    case Severed(why=why):
                        raise Interrupted(f"{why}. {KEPT}")


@dataclass(slots=True)
class _There:
    """An object that a worker hosts."""

    remote: Remote
    member: Member
    lost: bool = False

    @property
    def host(self) -> str:
        return self.member.facts.host

    @property
    def worker(self) -> str:
        return self.member.name

    def call(self, method: str, *args: Any, callbacks: object | None = None) -> Any:
        try:
            return self.remote._ordered(self.member, Call(method, args, callbacks is not None), callbacks)
        except WorkerLostError:
            self.lost = True
            raise


@contextmanager
def launched_remotely(
    plan: Plan, say: Callable[[str], None], make_engine: MakeEngine | None = None
) -> Iterator[Remote]:
    """Start or join Ray, and end its workers at the end. Raises UserError where that fails."""
    config = plan.config
    names = own_names((config, *plan.corners))
    spec = _spec(plan, names, make_engine)
    with connected(config, names) as cluster:
        lines = Lines(say)
        shape = _shape(config, cluster)
        if cluster.local and not shape.gpu and (note := crowded(shape.only or 1, shape.threads or 1)):
            lines.say(f"note: {note}")
        team = RayTeam(cluster, shape, spec, plan.splits, config.launcher.wait, lines.say)
        try:
            yield Remote(team, lines)
        finally:
            team.close()


def _shape(config: Config, cluster: Cluster) -> WorkerLayout:
    """Return how workers are laid out: on GPUs where trials may use them and the cluster has any,
    else on the CPU."""
    device, launcher = config.trainer.device, config.launcher
    shape = WorkerLayout({"cuda": True, "cpu": False}.get(device), launcher.cpus_per_worker)
    if not cluster.local:
        return shape
    nodes = cluster.nodes() or []
    gpu = bool(shape.settled(nodes).gpu)
    there = sum(node.gpus if gpu else node.cpus for node in nodes)
    return WorkerLayout(gpu, cpus=1, threads=_threads(there), only=launcher.workers or None)


def _threads(workers: int) -> int:
    """Return the threads of each of so many workers: OMP_NUM_THREADS, as inline, or else the cores
    that this process may use, shared out."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]  # a list has those of nested levels
    if wanted.isdigit() and int(wanted):
        return int(wanted)
    return max(1, len(os.sched_getaffinity(0)) // max(workers, 1))


def crowded(workers: int, threads: int) -> str:
    """Return a note where workers on the CPU of this machine have more threads than this process
    may use cores; empty otherwise."""
    cores = len(os.sched_getaffinity(0))
    if workers * threads <= cores:
        return ""
    said = f"{workers} worker{'s' if workers > 1 else ''} of {threads} thread{'s' if threads > 1 else ''} each"
    way_out = f"launcher.workers={cores}" if workers > cores else f"OMP_NUM_THREADS={cores // workers}"
    return f"{said} share {cores} core{'s' if cores > 1 else ''}, which makes trials slower; use {way_out}"


def _spec(plan: Plan, names: list[str], make_engine: MakeEngine | None) -> Spec:
    models = {}
    for config in (plan.config, *plan.corners):
        if (text := config.model.model_dump_json()) not in models:
            models[text] = fingerprint(config.model).fingerprint
    return Spec(
        config=plan.config,
        models=models, versions=versions(), code=code_fingerprint(), own_code=sent_code(names), python=python(),
        make_engine=make_engine, imported=imported_states(names),
    )  # fmt: skip
