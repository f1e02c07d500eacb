"""Servers that a study uses, and that are killed: a PostgreSQL server, a Ray cluster."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from support.faults.processes import Family, Kind, send
from support.faults.program import MARK

# Ray would make a token in the user's home folder.
NO_TOKEN = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}

_RAY = Path(sys.executable).with_name("ray")
_STARTED = b"Ray runtime started"
_UP = 120.0  # seconds until a server counts as not coming up
_OUTAGE = (0.0, 3.0)  # seconds that a killed server is away


class Servers(Protocol):
    """What the study needs beside its own processes. `arguments` name it on the command line;
    `storage` is Optuna's, None for the run directory's file."""

    @property
    def arguments(self) -> Sequence[str]: ...

    @property
    def storage(self) -> str | None: ...

    def kill(self, kind: Kind, draw: random.Random) -> bool:
        """Kill a server of this kind and start it again. Return False where there is none."""
        ...

    def mend(self) -> None:
        """Start what has ended by itself."""
        ...


@dataclass(frozen=True, slots=True)
class NoServers:
    arguments: Sequence[str] = ()
    storage: str | None = None

    def kill(self, *_: object) -> bool:
        return False

    def mend(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Both:
    """Two servers for one study."""

    one: Servers
    other: Servers

    @property
    def arguments(self) -> Sequence[str]:
        return (*self.one.arguments, *self.other.arguments)

    @property
    def storage(self) -> str | None:
        return self.one.storage or self.other.storage

    def kill(self, kind: Kind, draw: random.Random) -> bool:
        return self.one.kill(kind, draw) or self.other.kill(kind, draw)

    def mend(self) -> None:
        self.one.mend()
        self.other.mend()


class PostgresServer(Protocol):
    """The part of `support.postgres.Server` that is needed here."""

    @property
    def data(self) -> str: ...

    def start(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Database:
    """A database of a PostgreSQL server, at the address `storage`."""

    server: PostgresServer
    storage: str

    @property
    def arguments(self) -> Sequence[str]:
        return (f"study.storage={self.storage}",)

    def kill(self, kind: Kind, draw: random.Random) -> bool:
        if kind is not Kind.DATABASE:
            return False
        first = (Path(self.server.data) / "postmaster.pid").read_text().split()[0]
        send([int(first)], signal.SIGKILL)
        time.sleep(draw.uniform(*_OUTAGE))
        until = time.monotonic() + _UP
        while True:  # processes of the killed server may hold its memory for a moment
            try:
                return self.server.start() is None
            except subprocess.CalledProcessError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.5)

    def mend(self) -> None:
        pass


@dataclass(slots=True)
class RayCluster:
    """A head without workers and `count` nodes with one CPU each, at addresses of their own.

    The first address is `127.0.0.FIRST`. Never 127.0.0.1: Ray replaces it by the machine's own.
    """

    folder: Path
    count: int = 2
    first: int = 2
    mark: str = "ray-cluster"
    storage: str | None = None
    nodes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    family: Family = field(init=False)
    port: int = field(default_factory=lambda: _free_port())
    _starts: int = 0
    _logs: dict[int, Path] = field(default_factory=dict)  # by process number

    def __post_init__(self) -> None:
        self.family = Family(self.mark)

    @property
    def address(self) -> str:
        return f"127.0.0.{self.first}:{self.port}"

    @property
    def arguments(self) -> Sequence[str]:
        return (
            "launcher=ray", f"launcher.address={self.address}", f"launcher.node_ip_address=127.0.0.{self.first}",
            "launcher.cpus_per_worker=1",
        )  # fmt: skip

    def start(self) -> None:
        """Start the head, then the other nodes."""
        options = ("--head", f"--port={self.port}", "--num-cpus=0", "--include-dashboard=false")
        self.nodes = [self._up(self._node(*options, index=0), *options, index=0)]
        self.nodes += [self.join(index) for index in range(1, self.count + 1)]

    def mend(self) -> None:
        """Wait for nodes that start, and start what has ended by itself."""
        if not self.answers():
            self.stop()
            self.start()
        for index in range(1, len(self.nodes)):
            self.nodes[index] = self._up(self.nodes[index], *self._joining, index=index)

    def _up(self, node: subprocess.Popen[bytes], *options: str, index: int) -> subprocess.Popen[bytes]:
        """Return the node when it is up, or another one in its place: on a busy machine Ray gives
        up a start after 30 s."""
        until = time.monotonic() + _UP
        while time.monotonic() < until:
            if node.poll() is not None:
                node = self._node(*options, index=index)
            if _STARTED in self._logs[node.pid].read_bytes():
                return node
            time.sleep(0.2)
        raise TimeoutError(self._logs[node.pid].read_text(errors="replace")[-2000:])

    def answers(self) -> bool:
        """Return whether the head can be reached."""
        with socket.socket() as one:
            return one.connect_ex((f"127.0.0.{self.first}", self.port)) == 0

    def join(self, index: int) -> subprocess.Popen[bytes]:
        """Start a node that joins the head."""
        return self._node(*self._joining, index=index)

    @property
    def _joining(self) -> Sequence[str]:
        """Return the options of a node that joins the head."""
        return f"--address={self.address}", "--num-cpus=1"

    def stop(self) -> None:
        """Kill all processes of the cluster."""
        send((one.pid for one in self.family.living()), signal.SIGKILL)
        for node in self.nodes:
            node.wait(30)

    def kill(self, kind: Kind, draw: random.Random) -> bool:
        found = self.family.of_kind(kind)
        if kind not in (Kind.WORKER, Kind.RAYLET, Kind.HEAD) or not found:
            return False
        if kind is Kind.WORKER:
            send([draw.choice(found)], signal.SIGKILL)
            return True
        if kind is Kind.HEAD:
            send(found, signal.SIGKILL)
            time.sleep(draw.uniform(*_OUTAGE))
            self.stop()
            self.start()
            return True
        index = draw.randrange(1, len(self.nodes))
        raylets = [one.pid for one in self.family.living() if one.ppid() == self.nodes[index].pid and one.pid in found]
        send(raylets, signal.SIGKILL)
        time.sleep(draw.uniform(*_OUTAGE))
        self.nodes[index].kill()
        self.nodes[index].wait(30)
        self.nodes[index] = self.join(index)
        return bool(raylets)

    def _node(self, *options: str, index: int) -> subprocess.Popen[bytes]:
        self._starts += 1
        own = self.folder / str(self._starts)  # sockets are in it: its path is short
        command = [
            str(_RAY), "start", "--block", *options, f"--node-ip-address=127.0.0.{self.first + index}", "--num-gpus=0",
            f"--temp-dir={own}", "--object-store-memory=100000000", "--min-worker-port=0", "--max-worker-port=0",
            "--dashboard-agent-listen-port=0", "--disable-usage-stats",
        ]  # fmt: skip
        environment = {
            **os.environ, **NO_TOKEN, MARK: self.mark, "OMP_NUM_THREADS": "1", "SWEEP_CACHE": str(self.folder / "cache"),
        }  # fmt: skip
        path = self.folder / f"node-{self._starts}.log"
        with path.open("wb") as log:
            node = subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self._logs[node.pid] = path
        self.family.roots.add(node.pid)
        self.family.living()
        return node


@contextmanager
def ray_cluster(*, first: int, count: int = 2) -> Iterator[RayCluster]:
    """Run a cluster within the context."""
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        cluster = RayCluster(Path(folder), count=count, first=first, mark=f"ray-cluster-{os.getpid()}-{first}")
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
