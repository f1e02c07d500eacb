"""A team whose workers are threads of this process, for tests of the engine over them."""

from __future__ import annotations

import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep.launch.mailbox import Mailbox
from sweep.launch.messages import Batch, Reply
from sweep.launch.team import Event, Heard, Joined, Lost, Member, Severed
from sweep.launch.worker import Worker
from sweep.launch.workspace import Facts, Workspace

CPU = Facts("host", "cpu", "cpu", 2**34, 2**33, has_bf16=False, threads=1)


@dataclass
class ThreadTeam:
    """Workers in threads; `coming` counts those that are expected beside them."""

    folder: Path
    coming: int = 0
    members: list[Member] = field(default_factory=list)
    workers: dict[Member, Worker] = field(default_factory=dict)
    heard: queue.SimpleQueue[Event] = field(default_factory=queue.SimpleQueue)
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(16))
    replies: list[tuple[Member, Reply]] = field(default_factory=list)

    def add(self, engine: Any, host: str = "host") -> Member:
        """Let a worker with this engine join."""
        member = Member(f"{host}/{len(self.workers)}", Facts(host, "cpu", "cpu", 1, 1, has_bf16=False, threads=1))
        workspace = Workspace(None, None, self.folder / str(len(self.workers)))  # type: ignore[arg-type]
        worker = Worker(workspace, make_engine=lambda _, best: _with(engine, best), mailbox=Mailbox(seconds=0.02))
        worker.start()
        self.workers[member] = worker
        self.members.append(member)
        self.heard.put(Joined(member))
        return member

    @property
    def expected(self) -> int:
        return len(self.members) + self.coming

    def workers_on_host(self, member: Member) -> int:
        return sum(one.facts.host == member.facts.host for one in self.members)

    def send(self, member: Member, reply: Reply) -> None:
        self.replies.append((member, reply))
        self.pool.submit(self._exchange, member, reply)

    def _exchange(self, member: Member, reply: Reply) -> None:
        batch: Batch = self.workers[member].exchange(reply)
        if member in self.members:
            member.leaving = member.leaving or batch.leaving
            self.heard.put(Heard(member, batch))

    def events(self, timeout: float) -> list[Event]:
        try:
            return [self.heard.get(timeout=timeout)]
        except queue.Empty:
            return []

    def release(self, member: Member) -> None:
        if member in self.members:
            self.members.remove(member)

    def kill(self, member: Member, why: str = "its process was killed") -> None:
        """Lose a worker: nothing more is heard of it."""
        self.release(member)
        self.heard.put(Lost(member, why))

    def sever(self) -> None:
        """Lose the head of the cluster."""
        self.heard.put(Severed("the head is gone"))


def _with(engine: Any, best: Callable[..., Path | None]) -> Any:
    """Return the engine, which is told where best adapters go if it asks."""
    if hasattr(engine, "best_dir"):
        engine.best_dir = best
    return engine
