"""A study that is killed again and again, and started again until it ends."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from support.faults.invariants import broken
from support.faults.kills import Kill, ended_trainings, planned, too_often
from support.faults.processes import Family, Kind, send
from support.faults.program import MARK, Started, Starter
from support.faults.servers import NO_TOKEN, NoServers, Servers
from support.faults.study import Study

_HANG = 240.0  # seconds after which a start, or the end after SIGTERM, counts as hanging
_POLL = 0.002
_RESTARTS = 6  # more starts than kills, since the loss of a server may end the program
_STOPPED = 130  # exit code after SIGINT and SIGTERM


@dataclass(slots=True)
class Series:
    """The starts of one study, and the kills between them.

    `said` tells what was done; `faults` what should not have happened.
    """

    arguments: Sequence[str]
    folder: Path
    starter: Starter
    seed: int
    servers: Servers = field(default_factory=NoServers)
    said: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    delivered: int = 0
    _killed: list[str] = field(default_factory=list)
    _family: Family = field(init=False)
    _draw: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._family = Family(f"{self.folder.name}-{self.seed}")
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
        left = list(kills)
        for _ in range(len(kills) + _RESTARTS):
            started = self._start()
            code = self._until_ended(started, left)
            if code == 0:
                break
        else:
            self.faults.append(f"the study had not ended after {len(kills) + _RESTARTS} starts")
        self.faults += [f"a process is left: {line}" for line in self._family.left_over()]
        if "Traceback (most recent call last)" in (text := self.log.read_text(errors="replace")):
            self.faults.append(f"a traceback in {self.log}: …{text.partition('Traceback')[2][-300:]}")

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
        arguments = [*self.arguments, *self.servers.arguments]
        started = self.starter.start(arguments, log=self.log, environment=environment)
        self._family.roots.add(started.pid)
        return started

    def _until_ended(self, started: Started, left: list[Kill]) -> int | None:
        """Return the exit code of one start. Its kills are taken from `left`."""
        began = time.time()
        while left:
            if not self._moment(started, left[0], began):
                break
            kill = left.pop(0)
            self._deliver(kill, started)
            if kill.target is Kind.COORDINATOR and kill.number is not signal.SIGSTOP:
                break
        code = started.wait(_HANG)
        if code is None:
            self.faults.append(f"hangs: no end within {_HANG:g} s; last lines: {self._tail()}")
            self._family.left_over(within=0)
            code = started.wait(10)
        elif code not in (0, _STOPPED, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT) and not self._cut_off(code):
            self.faults.append(f"ended with code {code}; last lines: {self._tail()}")
        self._say(f"ended with code {code}")
        return code

    def _cut_off(self, code: int) -> bool:
        """Return whether Ray ended the program because its head, or its own node, was gone."""
        ray = any(one.startswith("launcher=") for one in (*self.arguments, *self.servers.arguments))
        return ray and code == 1 and "Traceback" not in self._tail()

    def _moment(self, started: Started, kill: Kill, began: float) -> bool:
        """Wait for the moment of a kill. Return False if the program ended before it."""
        since: float | None = None
        until = time.monotonic() + _HANG
        while time.monotonic() < until:
            if started.wait(_POLL) is not None:
                return False
            ended = ended_trainings(self.run_dir)
            reached = self._opened(began) and len(ended) >= kill.done
            if not reached or too_often(_state(ended), self._killed):
                continue
            since = since or time.monotonic()
            if time.monotonic() - since >= kill.delay:
                return True
        return False

    def _opened(self, began: float) -> bool:
        """Return whether this start has opened the run directory: it writes the lock anew."""
        lock = self.run_dir / "lock.json"
        return lock.exists() and lock.stat().st_mtime >= began - 0.01

    def _deliver(self, kill: Kill, started: Started) -> None:
        pids = [started.pid] if kill.target is Kind.COORDINATOR else self._family.of_kind(kill.target)
        there = bool(pids) or self.servers.kill(kill.target, self._draw)
        if pids:
            chosen = self._draw.choice(pids)
            state = _state(ended_trainings(self.run_dir))
            self._family.living()
            send([chosen], kill.number)
            if kill.number is signal.SIGSTOP:
                time.sleep(kill.pause)
                send([chosen], signal.SIGCONT)
            elif kill.number is signal.SIGKILL:
                self._killed.append(state)
        self.delivered += there
        self._say(f"{kill}: {'sent' if there else 'no such process'}, at {', '.join(_parts(self.run_dir))}")

    def _say(self, line: str) -> None:
        self.said.append(f"{time.strftime('%H:%M:%S')} {line}")

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-600:] if self.log.exists() else ""

    def report(self) -> str:
        """Return what went wrong, with the seed and the kills that led to it."""
        return "\n".join([f"seed {self.seed}, in {self.folder}", *self.faults, "what was done:", *self.said])


def _state(ended: Sequence[str]) -> str:
    """Return a name for the training that runs: the number of those that have ended."""
    return str(len(ended))


def _parts(run: Path) -> list[str]:
    """Return what there is in the run directory, for the line on a kill."""
    rows = {path.parent.name: path.read_bytes().count(b"\n") for path in sorted(run.glob("trials/*/events.jsonl"))[-1:]}
    marks = [path.name for path in (run / "test_readings.jsonl", run / "report.md") if path.exists()]
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
    series = Series(study.arguments(model, folder), folder, starter, seed, servers or NoServers())
    series.run(planned(study, targets, seed=seed, count=count))
    series.compare(whole)
    return series
