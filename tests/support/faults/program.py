"""The program in a process of its own, started as often as a test wants."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

MARK = "SWEEP_FAULTS_RUN"  # in the environment of a program and of all processes that it starts


@dataclass(slots=True)
class Started:
    """A program that was started. `ended` receives its exit code once."""

    pid: int
    ended: queue.Queue[int]
    code: int | None = None

    def wait(self, seconds: float) -> int | None:
        """Return the exit code, negative for a signal; None if the program runs after `seconds`."""
        if self.code is None:
            try:
                self.code = self.ended.get(timeout=seconds)
            except queue.Empty:
                return None
        return self.code


class Starter(Protocol):
    def start(self, arguments: Sequence[str], *, log: Path, environment: Mapping[str, str]) -> Started: ...


class Processes:
    """Starts `python -m sweep`, as a user does."""

    def start(self, arguments: Sequence[str], *, log: Path, environment: Mapping[str, str]) -> Started:
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "sweep", *arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env={**os.environ, **environment}, start_new_session=True,
            )  # fmt: skip
        ended: queue.Queue[int] = queue.Queue()
        threading.Thread(target=lambda: ended.put(process.wait()), daemon=True).start()
        return Started(process.pid, ended)


@dataclass(slots=True)
class Forks:
    """Forks the program from a process that has imported it (`program_server`), one at a time."""

    server: subprocess.Popen[str]
    said: queue.Queue[str] = field(default_factory=queue.Queue)

    def start(self, arguments: Sequence[str], *, log: Path, environment: Mapping[str, str]) -> Started:
        command = {"arguments": [*arguments], "log": str(log), "environment": {**environment}}
        assert self.server.stdin is not None
        self.server.stdin.write(json.dumps(command) + "\n")
        self.server.stdin.flush()
        pid = int(self.said.get(timeout=60))
        ended: queue.Queue[int] = queue.Queue()
        threading.Thread(target=lambda: ended.put(int(self.said.get())), daemon=True).start()
        return Started(pid, ended)


@contextmanager
def forks() -> Iterator[Forks]:
    """Give a starter whose server runs within the context."""
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("program_server.py"))], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    starter = Forks(server)
    output = server.stdout
    assert output is not None
    threading.Thread(target=lambda: [starter.said.put(line) for line in output], daemon=True).start()
    try:
        assert starter.said.get(timeout=300).strip() == "ready"
        yield starter
    finally:
        server.kill()
        server.wait()
        for pipe in (server.stdin, server.stdout):
            if pipe is not None:
                pipe.close()
