"""Why a study has no worker, and what to do about it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from sweep.errors import Fault
from sweep.launch.actor import Refusal
from sweep.launch.ray_cluster import Node
from sweep.launch.worker_layout import WorkerLayout


def no_worker(
    head: tuple[str, int], shape: WorkerLayout, nodes: Sequence[Node], refused: Iterable[Refusal],
    waiting: Collection[str], wait: float,
) -> list[Fault]:  # fmt: skip
    """Return the faults of a cluster that has had no worker for `wait` seconds: why workers
    were `refused`, and what those that were placed on the hosts `waiting` wait for."""
    rules = [str(one) for one in dict.fromkeys(refused)]
    takes = "a GPU" if shape.gpu else f"{shape.cpus or 'all'} CPU cores of a node"
    late = f"no worker came for {wait:g} s (launcher.wait)"
    if waiting:
        waits = f"one that takes {takes} waits for room, or for Ray to start it, on {', '.join(sorted(waiting))}"
        rules.append(f"{late}: {waits}; end what else runs there, or set a longer launcher.wait")
    elif not rules:
        there = [f"{node.host} (CPU cores: {node.cpus}, GPUs: {node.gpus})" for node in nodes]
        has = f"each takes {takes}, and the cluster has: {', '.join(there) or 'no node'}"
        rules.append(f"{late}: {has}; {_way_out(head, shape, nodes)}")
    return [Fault("launcher", rule) for rule in rules]


def _way_out(head: tuple[str, int], shape: WorkerLayout, nodes: Sequence[Node]) -> str:
    """Return what to type where no node can have a worker."""
    most = max((node.cpus for node in nodes if not node.draining), default=0)
    add = f"add a node: ray start --address={head[0]}:{head[1]}"
    if shape.gpu:
        return f"{add}, on a machine with a GPU, or use trainer.device=cpu"
    return f"use launcher.cpus_per_worker={most}" if shape.cpus and 0 < most < shape.cpus else add
