"""A study that is killed again and again, and started again until it ends."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from support.faults.invariants import broken
from support.faults.journal import Journal, Place, Sent
from support.faults.kills import Kill, Moment, planned, too_often
from support.faults.processes import Family, Kind, send
from support.faults.program import MARK, Started, Starter
from support.faults.servers import NO_TOKEN, NoServers, Servers
from support.faults.stages import Stage, ended_trainings, noted_readings, stage
from support.faults.study import Study

_HANG = 240.0  # seconds after which a start, or the end after SIGTERM, counts as hanging
_POLL, _POLL_READING = 0.05, 0.002  # seconds between two looks at the run directory
_ABSENT = 15.0  # seconds in which a process that is to be killed may come
_RESTARTS = 6  # more starts than kills, since the loss of a server may end the program
_STOPPED, _REFUSED = 130, 2  # exit codes: after SIGINT and SIGTERM; where something is wrong that the user sees to


@dataclass(slots=True)
class Series:
    """The starts of one study, and the kills between them.

    `said` tells what was done, `delivered` which signals were sent; `faults` what should not have
    happened.
    """

    arguments: Sequence[str]
    folder: Path
    starter: Starter
    seed: int
    servers: Servers = field(default_factory=NoServers)
    journal: Journal | None = None
    said: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    delivered: list[Sent] = field(default_factory=list)
    starts: int = 0
    seconds: float = 0.0
    _began: float = 0.0  # of the present start
    _readings: int = 0  # noted before it
    _hit: set[Kind] = field(default_factory=set)  # what was killed since then
    _killed: list[str] = field(default_factory=list)
    _family: Family = field(init=False)
    _draw: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._family = Family(f"{self.folder.name}-{self.seed}-{os.getpid()}")  # other tests may run beside these
        self._draw = random.Random(self.seed)

    @property
    def run_dir(self) -> Path:
        return self.folder / "run"

    @property
    def log(self) -> Path:
        return self.folder / "output.txt"

    def run(self, kills: Sequence[Kill]) -> None:
        """Start the study, deliver the kills in order, and start it again until it ends by
        itself."""
        left, began = list(kills), time.monotonic()
        for _ in range(len(kills) + _RESTARTS):
            started = self._start()
            code = self._until_ended(started, left)
            if code == 0:
                break
        else:
            self.faults.append(f"the study had not ended after {len(kills) + _RESTARTS} starts")
        self._say_missed(left)
        self.faults += [f"a process is left: {line}" for line in self._family.left_over()]
        if "Traceback (most recent call last)" in (text := self.log.read_text(errors="replace")):
            self.faults.append(f"a traceback in {self.log}: …{text.partition('Traceback')[2][-300:]}")
        self.seconds = time.monotonic() - began

    def compare(self, whole: Path) -> None:
        """Add what the study's run directory breaks, beside an uninterrupted one."""
        self.faults += broken(whole, self.run_dir, storage=self.servers.storage)

    def _start(self) -> Started:
        own = ("SWEEP_CACHE", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR")
        environment = {
            MARK: self._family.mark,
            **NO_TOKEN,
            **{name: str(self.folder / "own" / name.lower()) for name in own},
        }
        for name in own:
            Path(environment[name]).mkdir(parents=True, exist_ok=True)
        self.servers.mend()
        arguments = [*self.arguments, *self.servers.arguments]
        self.starts += 1
        self._began, self._readings, self._hit = time.time(), noted_readings(self.run_dir), set()
        started = self.starter.start(arguments, log=self.log, environment=environment)
        self._family.roots.add(started.pid)
        return started

    def _until_ended(self, started: Started, left: list[Kill]) -> int | None:
        """Return the exit code of one start. Its kills are taken from `left`."""
        while left:
            if not self._moment(started, left[0]):
                break
            kill = left.pop(0)
            self._deliver(kill, started)
            if kill.ends_program:
                break
        code = started.wait(_HANG)
        if code is None:
            self.faults.append(f"hangs: no end within {_HANG:g} s; last lines: {self._tail()}")
            self._family.left_over(within=0)
            code = started.wait(10)
        elif code not in (0, _STOPPED, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT) and not self._excused(code):
            self.faults.append(f"ended with code {code}; last lines: {self._tail()}")
        self._say(f"ended with code {code}")
        return code

    def _excused(self, code: int) -> bool:
        """Return whether the program had to end because of what was killed since its start: Ray
        ends a program whose own node is gone, and one that cannot use Ray or the database at its
        start says so."""
        if "Traceback" in self._tail():
            return False
        ray = bool(self._hit & {Kind.WORKER, Kind.RAYLET, Kind.HEAD})
        begun = any(self.run_dir.glob("trials/*"))  # before that, what does not answer may be named wrongly
        refused = code == _REFUSED and (not begun or (ray and self._stage() is Stage.START))
        return (ray and code == 1) or (refused and (ray or Kind.DATABASE in self._hit))

    def _moment(self, started: Started, kill: Kill) -> bool:
        """Wait for the moment of a kill. Return False if the program ended before it."""
        since: float | None = self._began if kill.moment is Moment.START else None
        poll = _POLL_READING if kill.moment is Moment.READING else _POLL
        until = time.time() + _HANG
        while time.time() < until:
            if started.wait(poll) is not None:
                return False
            if since is None and self._reached(kill):
                since = time.time()
            if since is not None and time.time() - since >= kill.delay and not self._too_often():
                return True
        return False

    def _reached(self, kill: Kill) -> bool:
        if not self._opened():
            return False
        if kill.moment is Moment.READING:
            return noted_readings(self.run_dir) > self._readings
        return len(ended_trainings(self.run_dir)) >= kill.done and not self._too_often()

    def _too_often(self) -> bool:
        """Return whether what runs was killed twice. A program that starts loses no training."""
        return self._opened() and too_often(self._state(), self._killed)

    def _opened(self) -> bool:
        """Return whether this start has opened the run directory: it writes the lock anew."""
        lock = self.run_dir / "lock.json"
        return lock.exists() and lock.stat().st_mtime >= self._began - 0.01

    def _stage(self) -> Stage:
        return stage(self.run_dir, opened=self._opened(), readings=self._readings)

    def _state(self) -> str:
        """Return a name for the training that runs: the numbers of those that have ended and of
        those that are paused."""
        return f"{len(ended_trainings(self.run_dir))}, {len(list(self.run_dir.glob('trials/*/paused.json')))}"

    def _deliver(self, kill: Kill, started: Started) -> None:
        """Send a signal, as soon as there is a process to send it to."""
        until = time.monotonic() + _ABSENT
        while True:
            at, during, state = time.strftime("%H:%M:%S"), self._stage(), self._state()
            detail = f"{kill}, at {', '.join(_parts(self.run_dir))}"
            if there := self._sent(kill, started):
                break
            if time.monotonic() > until or started.wait(0.1) is not None:
                break
        if there:
            self._hit.add(kill.target)
            self._note(Sent(at, str(kill.target), kill.number.name, str(during), detail))
            if kill.number is signal.SIGKILL and kill.target is not Kind.DATABASE and during is not Stage.START:
                self._killed.append(state)
        self._say(f"{during}: {detail}{'' if there else ': no such process'}")

    def _note(self, sent: Sent) -> None:
        self.delivered.append(sent)
        if self.journal is not None:
            self.journal.write_sent(sent)

    def _sent(self, kill: Kill, started: Started) -> bool:
        pids = [started.pid] if kill.target is Kind.COORDINATOR else self._family.of_kind(kill.target)
        if not pids:
            return self.servers.kill(kill.target, self._draw)
        chosen = self._draw.choice(pids)
        self._family.living()
        send([chosen], kill.number)
        if kill.number is signal.SIGSTOP:
            time.sleep(kill.pause)
            send([chosen], signal.SIGCONT)
        return True

    def _say_missed(self, left: Sequence[Kill]) -> None:
        for kill in left:
            self._say(f"not sent, since the study had ended: {kill}")

    def _say(self, line: str) -> None:
        self.said.append(f"{time.strftime('%H:%M:%S')} {line}")

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-600:] if self.log.exists() else ""

    def report(self) -> str:
        """Return what went wrong, with the seed and the kills that led to it."""
        return "\n".join([f"seed {self.seed}, in {self.folder}", *self.faults, "what was done:", *self.said])


def _parts(run: Path) -> list[str]:
    """Return what there is in the run directory, for the line on a kill."""
    rows = {path.parent.name: path.read_bytes().count(b"\n") for path in sorted(run.glob("trials/*/events.jsonl"))[-1:]}
    marks = [
        path.name
        for path in (*run.glob("unfinished/*"), run / "test_readings.jsonl", run / "report.md")
        if path.exists()
    ]
    return [
        f"{len(ended_trainings(run))} ended",
        *(f"trial {name}: {count} rows" for name, count in rows.items()),
        *marks,
    ]


def killed(
    study: Study,
    folder: Path,
    *,
    model: Path,
    starter: Starter,
    whole: Path,
    seed: int,
    count: int,
    targets: Sequence[Kind],
    servers: Servers | None = None,
) -> Series:
    """Return the series of a study that was killed `count` times, has ended, and was compared with
    the uninterrupted run directory `whole`."""
    folder.mkdir(exist_ok=True)
    used = servers or NoServers()
    arguments = study.arguments(model, folder)
    journal = Journal(_place(study, seed, (*arguments, *used.arguments), used))
    series = Series(arguments, folder, starter, seed, used, journal)
    series.run(planned(study, targets, seed=seed, count=count))
    series.compare(whole)
    journal.write_end(starts=series.starts, seconds=series.seconds, faults=series.faults)
    return series


def _place(study: Study, seed: int, arguments: Sequence[str], servers: Servers) -> Place:
    """Return where a series runs: by the last of the arguments with a key."""
    given = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    launcher, tracker = given.get("launcher", "inline"), given.get("tracker", "none")
    return Place(seed, str(study), tracker, launcher, "PostgreSQL" if servers.storage else "SQLite")
