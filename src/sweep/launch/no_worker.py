"""Why a study has no worker, and what to do about it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sweep.errors import Fault
from sweep.launch.actor import Refusal
from sweep.launch.ray_cluster import Node
from sweep.launch.worker_layout import WorkerLayout


@dataclass(frozen=True, slots=True)
class Lack:
    """The state of a cluster where a study has no worker.

    `head` is its address and port. Workers were placed on the nodes with the ids `waiting`, and
    others were `refused`. The study waits for `wait` seconds.
    """

    head: tuple[str, int]
    shape: WorkerLayout
    nodes: Sequence[Node]
    refused: Collection[Refusal]
    waiting: Collection[str]
    wait: float

    def faults(self) -> list[Fault]:
        """Return the faults of a study that has waited for so long."""
        rules = [str(one) for one in dict.fromkeys(self.refused)]
        late = f"no worker came for {self.wait:g} s (launcher.wait)"
        if self._at:
            rules.append(f"{late}: {self._waits()}, or set a longer launcher.wait")
        elif not rules:
            rules.append(f"{late}: {self._has()}")
        return [Fault("launcher", rule) for rule in rules]

    def line(self) -> str:
        """Return the line of a study that goes on to wait."""
        why = self._waits() if self._at else "none of those that came is used" if self.refused else self._has()
        return f"note: no worker is there: {why}. The study waits for {self.wait:g} s (launcher.wait)"

    @property
    def _at(self) -> list[Node]:
        """Return the nodes on which workers were placed."""
        return [node for node in self.nodes if node.id in self.waiting]

    @property
    def _takes(self) -> str:
        return "a GPU" if self.shape.gpu else f"{self.shape.cpus or 'all'} CPU cores of a node"

    def _waits(self) -> str:
        """Return what the workers that were placed wait for, and what to do."""
        at, gpu = self._at, bool(self.shape.gpu)
        places = ", ".join(sorted({_free(node, gpu=gpu) for node in at}))
        way_out = "end what else runs there"
        free = max((int(node.free_cpus or 0) for node in at), default=0)
        if not gpu and 0 < free < min((self.shape.cores(node) for node in at), default=0):
            way_out += f", use launcher.cpus_per_worker={free}"
        return f"one that takes {self._takes} waits for room, or for Ray to start it, on {places}; {way_out}"

    def _has(self) -> str:
        """Return what the cluster has, where no node can have a worker, and what to do."""
        there = ", ".join(f"{node.host} (CPU cores: {node.cpus}, GPUs: {node.gpus})" for node in self.nodes)
        return f"each takes {self._takes}, and the cluster has: {there or 'no node'}; {self._way_out()}"

    def _way_out(self) -> str:
        most = max((node.cpus for node in self.nodes if not node.draining), default=0)
        add = f"add a node: ray start --address={self.head[0]}:{self.head[1]}"
        if self.shape.gpu:
            return f"{add}, on a machine with a GPU, or use trainer.device=cpu"
        return f"use launcher.cpus_per_worker={most}" if self.shape.cpus and 0 < most < self.shape.cpus else add


def _free(node: Node, *, gpu: bool) -> str:
    """Return the host of a node, and what is free there as far as that is known."""
    free, there, what = node.free_cpus, node.cpus, "CPU cores"
    if gpu:
        free, there, what = node.free_gpus, node.gpus, "GPUs"
    return node.host if free is None else f"{node.host} ({free:g} of {there} {what} free)"
