"""Workers as Ray actors: they are placed on the nodes of a cluster as these come, and lost with
them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from sweep.data.splits import Splits
from sweep.errors import UserError, first_line
from sweep.launch.actor import Actor, Refusal, Spec
from sweep.launch.lost import raise_remote, why_it_died, why_not_greeted
from sweep.launch.messages import Batch, Done, Ended, Files, Message, Reply, Saved
from sweep.launch.no_worker import Lack
from sweep.launch.object_store import put
from sweep.launch.placement import Place, Placement
from sweep.launch.ray_cluster import Cluster, Node
from sweep.launch.team import Brought, Event, Heard, Joined, Lost, Member, Severed
from sweep.launch.worker_layout import WorkerLayout

_LOOK = 1.0  # seconds between two looks at the nodes
_CUT_OFF = 15.0  # seconds without the head until the cluster counts as lost: Ray ends the process after 60
_TOLD = 15.0  # seconds without any worker until a line says what the study waits for
_COMING = 60.0  # seconds in which the process of a worker that was placed is expected to run
_LOSSES = 3  # in a row, without a word from the worker, until its place is given up
_REST = 120.0  # seconds, at most, until a node whose worker was told to end is given another
_CALL = 5.0  # seconds between two calls to an idle worker: whether it still lives


@dataclass(slots=True)
class RayTeam:
    """A `Team` of Ray actors. All calls come from one thread.

    Actors are placed on each node that is there, and on those that join. One that cannot be placed
    yet waits, and costs nothing. `wait` bounds the seconds without any worker.
    """

    cluster: Cluster
    shape: WorkerLayout
    spec: Spec
    splits: Splits
    wait: float
    say: Callable[[str], None]
    members: list[Member] = field(default_factory=list)
    refused: dict[Place, Refusal] = field(default_factory=dict)  # these places get no other worker
    _placements: dict[Place, Placement] = field(default_factory=dict)
    _of: dict[Member, Placement] = field(default_factory=dict)
    _pending: dict[Any, Placement] = field(default_factory=dict)  # by the reference to what comes
    _snapshots: dict[Any, tuple[Placement, Saved]] = field(default_factory=dict)  # by the reference to their bytes
    _starting: dict[Any, Placement] = field(default_factory=dict)  # likewise, until its process runs
    _files: dict[Any, tuple[Placement, Batch]] = field(default_factory=dict)  # likewise
    _calls: dict[Any, Placement] = field(default_factory=dict)  # to idle workers, which die without a word
    _resting: dict[Place, float] = field(default_factory=dict)  # places that get no worker, until when
    _losses: dict[Place, int] = field(default_factory=dict)
    _ready: list[Event] = field(default_factory=list)
    _looked: float = 0.0
    _head_seen: float = field(default_factory=time.monotonic)
    _alone_since: float = field(default_factory=time.monotonic)
    _told: bool = False  # what the study waits for
    _nodes: list[Node] = field(default_factory=list)
    _sent: Any = None  # the reference to the rows
    _severed: bool = False  # nothing is asked of the cluster any more

    @property
    def expected(self) -> int:
        """Return the number of workers that are there or about to be there: their process runs, or
        they were placed a short time ago."""
        now = time.monotonic()
        coming = [
            placement for placement in self._placements.values() if placement.started or now - placement.since < _COMING
        ]
        return len(self.members) + sum(placement.member is None for placement in coming)

    def workers_on_host(self, member: Member) -> int:
        if (own := self._of.get(member)) is None:
            return 1
        placed = sum(placement.host == own.host for placement in self._placements.values())
        places = sum(self.shape.workers(node) for node in self._nodes if node.host == own.host)
        return max(placed, min(places, self.shape.only or places))

    def send(self, member: Member, reply: Reply) -> None:
        placement = self._of.get(member)
        if placement is None:
            self._ready.append(Lost(member, "it was lost meanwhile"))
            return
        leave = reply.leave or member.leaving
        self._pending[placement.actor.exchange.remote(replace(reply, leave=leave))] = placement

    def events(self, timeout: float) -> list[Event]:
        self._look()
        if not self._ready:
            self._check_alone()
            waited = [*self._pending, *self._starting, *self._snapshots, *self._files, *self._calls]
            if waited:
                # Snapshots first: a worker that died may have sent them before.
                for reference in sorted(self._come(waited, timeout), key=lambda one: one not in self._snapshots):
                    self._arrived(reference)
            else:
                time.sleep(min(timeout, 0.1))
        ready, self._ready = self._ready, []
        return ready

    def _come(self, waited: list[Any], timeout: float) -> list[Any]:
        """Return the references whose objects have come, after at most so many seconds."""
        import ray
        from ray.exceptions import RaySystemError

        try:
            first, _ = ray.wait(waited, num_returns=1, timeout=min(timeout, _LOOK))
            return ray.wait(waited, num_returns=len(waited), timeout=0)[0] if first else []
        except (OSError, RaySystemError) as error:  # the pipe to Ray's process on this machine is broken
            self._sever(f"Ray's process on this machine (the raylet) has ended: {first_line(error)}")
            time.sleep(min(timeout, 0.1))
            return []

    def release(self, member: Member) -> None:
        """Let a worker go that was told to end; its node rests."""
        placement = self._of.get(member)
        if placement is not None:
            self._forget(placement)
            rest = 0.0 if self.cluster.local else min(_REST, self.wait / 4)
            self._resting[placement.place] = time.monotonic() + rest

    def close(self) -> None:
        """End all workers."""
        import ray
        from ray.exceptions import RayError

        if self._severed or not self.cluster.answers():
            return
        if closing := [
            placement.actor.close.remote() for placement in self._placements.values() if placement.member is not None
        ]:
            with suppress(OSError, RayError):  # the raylet has ended
                ray.wait(closing, num_returns=len(closing), timeout=2.0)
                for placement in self._placements.values():
                    ray.kill(placement.actor)

    def _look(self) -> None:
        """Place workers on nodes that have room, and note what is gone."""
        now = time.monotonic()
        if now - self._looked < _LOOK:
            return
        self._looked = now
        nodes = self.cluster.nodes() if not self._severed and self.cluster.answers() else None
        if nodes is None:
            if now - self._head_seen > _CUT_OFF:
                self._sever(f"the head of the Ray cluster at {':'.join(map(str, self.cluster.head))} is gone")
            return
        self._head_seen = now
        self._nodes = nodes
        self.shape = self.shape.settled(self._nodes)
        self._call_idle(now)
        for node in self._nodes:
            if node.draining:
                self._drain(node)
            for index in range(self.shape.workers(node)):
                if self._is_free(place := (node.id, index), now):
                    self._place(node, place)

    def _is_free(self, place: Place, now: float) -> bool:
        """Return whether a worker may be placed there now."""
        full = self.shape.only is not None and len(self._placements) >= self.shape.only
        used = place in self._placements or place in self.refused
        return not full and not used and now >= self._resting.get(place, 0.0)

    def _sever(self, why: str) -> None:
        self._severed = True
        self._ready.append(Severed(why))

    def _call_idle(self, now: float) -> None:
        """Find out whether idle workers live: no answer of theirs is awaited that would tell."""
        there = {node.id for node in self._nodes}
        busy = {id(placement) for placement in (*self._pending.values(), *self._calls.values())}
        busy |= {id(placement) for placement, _ in self._files.values()}
        for placement in list(self._of.values()):
            if id(placement) in busy:
                continue
            if placement.place[0] not in there:
                self._lose(placement, "its node is gone")
            elif now - placement.called > _CALL:
                placement.called = now
                self._calls[placement.actor.__ray_ready__.remote()] = placement

    def _drain(self, node: Node) -> None:
        for place, placement in self._placements.items():
            if place[0] == node.id and placement.member is not None:
                placement.member.leaving = True

    def _place(self, node: Node, place: Place) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        if self._sent is None:
            self._sent = put(replace(self.splits, test=None))
        threads = self.shape.threads_on(node)
        actor: Any = ray.remote(Actor).options(
            num_cpus=self.shape.cores(node), num_gpus=int(bool(self.shape.gpu)), max_restarts=0, max_task_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
        ).remote(str(Path.cwd()), tuple(sys.path))  # fmt: skip
        placement = self._placements[place] = Placement(actor, place, node.host, time.monotonic())
        self._starting[actor.__ray_ready__.remote()] = placement
        self._pending[actor.greet.remote(replace(self.spec, threads=threads), self._sent)] = placement

    def _arrived(self, reference: Any) -> None:
        """Take in what a worker said or sent, or its loss."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        if reference in self._snapshots:
            self._bring(reference)
            return
        if reference in self._files:
            self._bring_files(reference)
            return
        if reference in self._starting:  # a failure shows in the greeting too
            self._starting.pop(reference).started = True
            return
        if (called := self._calls.pop(reference, None)) is not None:
            try:
                ray.get(reference)
            except RayError as error:
                self._lose(called, why_it_died(error))
            return
        if (placement := self._pending.pop(reference, None)) is None:
            return
        try:
            self._take_in(placement, ray.get(reference))
        except RayTaskError as error:
            cause = error.cause if isinstance(error.cause, BaseException) else error
            if placement.member is not None:
                raise_remote(cause, str(error), placement.host)
            self._refuse(
                placement, Refusal(placement.host, why_not_greeted(placement.actor, self.spec.own_code, cause))
            )
        except RayError as error:
            self._lose(placement, why_it_died(error))

    def _bring(self, reference: Any) -> None:
        """Pass on a snapshot, unless its worker died before it was fetched."""
        import ray
        from ray.exceptions import RayError

        placement, message = self._snapshots.pop(reference)
        with suppress(RayError):
            data = ray.get(reference)
            if placement.member is not None:
                self._ready.append(Brought(placement.member, replace(message, data=data)))

    def _bring_ready(self, placement: Placement) -> None:
        """Pass on the snapshots of a lost worker that are there."""
        import ray

        waited = self._snapshots_of(placement)
        found, _ = ray.wait(waited, num_returns=len(waited), timeout=0) if waited else ([], [])
        for reference in found:
            self._bring(reference)

    def _bring_files(self, reference: Any) -> None:
        """Pass on a batch that ends with files, or the loss of their worker."""
        import ray
        from ray.exceptions import RayError

        placement, batch = self._files.pop(reference)
        try:
            last = replace(batch.messages[-1], data=ray.get(reference))
        except RayError as error:
            self._lose(placement, why_it_died(error))
        else:
            self._deliver(placement, replace(batch, messages=(*batch.messages[:-1], last)))

    def _take_in(self, placement: Placement, found: Any) -> None:
        if isinstance(found, Batch):
            self._heard(placement, found)
        elif isinstance(found, Refusal):
            self._refuse(placement, found)
        else:
            self._forget_mended(placement.host)
            placement.member = Member(self._name(placement.host), found)
            self.members.append(placement.member)
            self._of[placement.member] = placement
            self._ready.append(Joined(placement.member))

    def _forget_mended(self, host: str) -> None:
        """Forget why workers of nodes that are gone were not used: the host has another node, with
        a worker that is used."""
        there = {node.id for node in self._nodes}
        self.refused = {
            place: one for place, one in self.refused.items() if one.host != host or place[0] in there
        }  # fmt: skip

    def _name(self, host: str) -> str:
        """Return a name that no other worker has: several nodes may be on one host."""
        used = {member.name for member in self.members}
        return next(name for number in count() if (name := f"{host}/{number}") not in used)

    def _heard(self, placement: Placement, batch: Batch) -> None:
        """Pass on a batch. Bytes that are not in it are fetched beside it: snapshots come before
        the end of their trial, files with the batch itself."""
        import ray

        assert placement.member is not None
        placement.member.memory = batch.memory
        placement.member.leaving = placement.member.leaving or batch.leaving
        self._losses.pop(placement.place, None)
        kept: list[Message] = []
        for message in batch.messages:
            if isinstance(message, Saved):
                self._supersede(placement, message)
                if isinstance(message.data, ray.ObjectRef):
                    self._snapshots[message.data] = placement, message
                    continue
            elif isinstance(message, Ended | Done):
                for reference in self._snapshots_of(placement):
                    self._bring(reference)
            kept.append(message)
        batch, last = replace(batch, messages=tuple(kept)), kept[-1] if kept else None
        if isinstance(last, Files) and isinstance(last.data, ray.ObjectRef):
            self._files[last.data] = placement, batch
        else:
            self._deliver(placement, batch)

    def _supersede(self, placement: Placement, newer: Saved) -> None:
        """Forget older snapshots of a training that are on their way: they may come later."""
        for reference in self._snapshots_of(placement):
            if self._snapshots[reference][1].key == newer.key:
                del self._snapshots[reference]

    def _snapshots_of(self, placement: Placement) -> list[Any]:
        """Return the references to the snapshots of a worker that are on their way."""
        return [reference for reference, (whose, _) in self._snapshots.items() if whose is placement]

    def _deliver(self, placement: Placement, batch: Batch) -> None:
        assert placement.member is not None
        self._ready.append(Heard(placement.member, batch))

    def _refuse(self, placement: Placement, refusal: Refusal) -> None:
        import ray

        self._placements.pop(placement.place)
        self._give_up(placement.place, refusal)
        ray.kill(placement.actor)

    def _give_up(self, place: Place, refusal: Refusal) -> None:
        """Place no worker there any more, and say why, once for all workers of a host."""
        if refusal not in self.refused.values():
            again = (
                "" if self.cluster.local else f"; once that is mended, start Ray on {refusal.host} again, or the study"
            )
            self.say(f"{refusal}{again}")
        self.refused[place] = refusal

    def _lose(self, placement: Placement, why: str) -> None:
        if self._placements.get(placement.place) is not placement:  # its loss is known
            return
        self._bring_ready(placement)
        self._forget(placement)
        losses = self._losses[placement.place] = self._losses.get(placement.place, 0) + 1
        if losses >= _LOSSES:
            self._give_up(placement.place, Refusal(placement.host, (f"it died {losses} times in a row: {why}",)))
        if placement.member is not None:
            self._ready.append(Lost(placement.member, why))

    def _forget(self, placement: Placement) -> None:
        if self._placements.get(placement.place) is placement:
            self._placements.pop(placement.place)
        if placement.member is not None and placement.member in self._of:
            self.members.remove(placement.member)
            self._of.pop(placement.member)

    def _check_alone(self) -> None:
        """Say what the study waits for where no worker has been there for a while. Raise UserError
        where none has been there for too long, or none can come."""
        now = time.monotonic()
        starting = any(placement.started for placement in self._placements.values())
        if self.members or starting or now - self._head_seen > _LOOK * 5:
            self._alone_since, self._told = now, False
            return
        late = now - self._alone_since
        ends = self._hopeless() or late > self.wait
        if not ends and (self._told or late < _TOLD):
            return
        nodes, waiting = self.cluster.with_free(self._nodes), {node for node, _ in self._placements}
        lack = Lack(self.cluster.head, self.shape, nodes, tuple(self.refused.values()), waiting, self.wait)
        if ends:
            raise UserError(lack.faults())
        self._told = True
        self.say(lack.line())

    def _hopeless(self) -> bool:
        """Return whether no worker can come: no node joins a local cluster."""
        places = [(node.id, index) for node in self._nodes for index in range(self.shape.workers(node))]
        return self.cluster.local and bool(places) and all(one in self.refused for one in places)
