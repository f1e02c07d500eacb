"""The processes of a program and of everything that it started."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import psutil

from support.faults.program import MARK


class Kind(StrEnum):
    """What a process is."""

    COORDINATOR = "coordinator"
    WORKER = "worker"  # the actor of a worker
    RAYLET = "raylet"
    HEAD = "head"  # Ray's gcs_server
    DATABASE = "database"
    SERVICE = "service"  # of the W&B client


_PROGRAMS = {"raylet": Kind.RAYLET, "gcs_server": Kind.HEAD, "wandb-core": Kind.SERVICE}


@dataclass(slots=True)
class Family:
    """The processes that descend from `roots`, and those with `mark` in their environment.

    A process stays in the family when its parent dies. Ray's workers overwrite their environment
    with their title, and a fork does not show what it has set itself: so descent and the mark are
    both looked at, each time `living` is called.
    """

    mark: str
    roots: set[int] = field(default_factory=set)
    seen: dict[int, psutil.Process] = field(default_factory=dict)

    def living(self) -> list[psutil.Process]:
        """Return the processes that have not ended."""
        parents = {one.pid: one for one in psutil.process_iter()}
        for pid, process in parents.items():
            if pid not in self.seen and (pid in self.roots or self._belongs(process)):
                self.seen[pid] = process
        return [one for one in self.seen.values() if _runs(one)]

    def of_kind(self, kind: Kind) -> list[int]:
        """Return the ids of the living processes of a kind."""
        return [one.pid for one in self.living() if _kind(one) is kind]

    def left_over(self, *, within: float = 60.0) -> list[str]:
        """Return the command lines of the processes that have not ended `within` seconds, and kill
        them. Ray's agents notice the death of their raylet after 10 s and more."""
        until = time.monotonic() + within
        while (found := self.living()) and time.monotonic() < until:
            time.sleep(0.1)
        lines = [f"{one.pid} {' '.join(_command(one))[:150]}" for one in found]
        send((one.pid for one in found), signal.SIGKILL)
        return lines

    def _belongs(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error):
            parent = self.seen.get(process.ppid())
            if parent is not None and parent.create_time() <= process.create_time():
                return True
        with suppress(OSError):
            wanted = f"{MARK}={self.mark}".encode()
            return wanted in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
        return False


def send(pids: Iterable[int], number: int) -> None:
    """Send a signal to processes, of which some may have ended."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _kind(process: psutil.Process) -> Kind | None:
    command = _command(process)
    program = Path(command[0].split()[0]).name if command and command[0] else ""
    if program.startswith("ray::Actor"):  # Ray's own agents have such titles too
        return Kind.WORKER
    return _PROGRAMS.get(program)


def _command(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return process.cmdline()
    return []
