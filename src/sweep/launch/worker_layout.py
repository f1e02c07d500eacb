"""The layout of workers on the nodes of a cluster."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sweep.launch.ray_cluster import Node


@dataclass(frozen=True, slots=True)
class WorkerLayout:
    """The number of workers of a node, and their parts of it. `gpu` is whether they train on GPUs:
    None until the first nodes that can have workers are there."""

    gpu: bool | None
    cpus: int | None = None  # of a worker on the CPU; None: all of a node
    threads: int | None = None  # None: those of `cpus`
    only: int | None = None  # workers in all

    def settled(self, nodes: list[Node]) -> WorkerLayout:
        """Return the shape for a cluster of these nodes: with GPUs where any node has one."""
        if self.gpu is not None or not any(node.cpus or node.gpus for node in nodes):
            return self
        return replace(self, gpu=any(node.gpus for node in nodes))

    def workers(self, node: Node) -> int:
        """Return the number of workers of a node."""
        if node.draining or self.gpu is None:
            return 0
        if self.gpu:
            return node.gpus
        return node.cpus // self.cpus if self.cpus else min(node.cpus, 1)

    def cores(self, node: Node) -> int:
        """Return the cores that each worker of a node takes."""
        if self.gpu:
            return min(1, node.cpus)
        return self.cpus or node.cpus

    def threads_on(self, node: Node) -> int:
        """Return the threads of each worker of a node."""
        if self.threads is not None:
            return self.threads
        return max(1, node.cpus // max(node.gpus, 1)) if self.gpu else self.cores(node)
