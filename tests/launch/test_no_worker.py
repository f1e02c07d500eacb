"""What a study without workers says."""

from __future__ import annotations

import pytest

from sweep.launch.actor import Refusal
from sweep.launch.no_worker import no_worker
from sweep.launch.ray_cluster import Node
from sweep.launch.worker_layout import WorkerLayout

HEAD = ("10.0.0.1", 6379)


@pytest.mark.parametrize(
    ("shape", "cores", "told"),
    [
        (
            WorkerLayout(False),
            0,
            "the cluster has: one (CPU cores: 0, GPUs: 0); add a node: ray start --address=10.0.0.1:6379",
        ),
        (WorkerLayout(False, cpus=8), 2, "each takes 8 CPU cores of a node"),
        (WorkerLayout(False, cpus=8), 2, "use launcher.cpus_per_worker=2"),
        (WorkerLayout(True), 2, "on a machine with a GPU, or use trainer.device=cpu"),
    ],
)
def test_a_cluster_without_room_is_told_with_what_to_do(shape: WorkerLayout, cores: int, told: str) -> None:
    (fault,) = no_worker(HEAD, shape, [Node("a", "one", cores, 0)], (), (), 60)
    assert told in fault.message and fault.message.startswith("no worker came for 60 s (launcher.wait)")


def test_refusals_and_waiting_workers_are_told() -> None:
    refused = [Refusal("one", ("torch is 1.0", "peft too"))] * 2
    first, second = no_worker(HEAD, WorkerLayout(False, cpus=2), [], refused, {"two"}, 60)
    assert first.message == "the worker on one is not used: torch is 1.0; peft too"
    assert "one that takes 2 CPU cores of a node waits for room, or for Ray to start it, on two;" in second.message
