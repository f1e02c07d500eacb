"""What a study without workers says."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pytest

from sweep.launch.actor import Refusal
from sweep.launch.no_worker import Lack
from sweep.launch.ray_cluster import Node
from sweep.launch.worker_layout import WorkerLayout

REFUSED = Refusal("one", ("torch is 1.0", "peft too"))


def lack(
    shape: WorkerLayout, nodes: Sequence[Node], refused: Collection[Refusal] = (), waiting: Collection[str] = ()
) -> Lack:
    return Lack(("10.0.0.1", 6379), shape, nodes, refused, waiting, 60.0)


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
    found = lack(shape, [Node("a", "one", cores, 0)])
    (fault,) = found.faults()
    assert told in fault.message and fault.message.startswith("no worker came for 60 s (launcher.wait)")
    assert told in found.line() and found.line().endswith("The study waits for 60 s (launcher.wait)")


def test_refusals_and_waiting_workers_are_told() -> None:
    found = lack(WorkerLayout(False, cpus=2), [Node("b", "two", 2, 0)], [REFUSED] * 2, {"b"})
    first, second = found.faults()
    assert first.message == "the worker on one is not used: torch is 1.0; peft too"
    assert "one that takes 2 CPU cores of a node waits for room, or for Ray to start it, on two;" in second.message
    assert second.message.endswith("end what else runs there, or set a longer launcher.wait")


def test_a_study_that_waits_says_what_is_free() -> None:
    """Other programs take cores of the nodes."""
    nodes = [Node("a", "one", 4, 0, free_cpus=0.0), Node("b", "two", 4, 0, free_cpus=3.0), Node("c", "three", 4, 0)]
    line = lack(WorkerLayout(False), nodes, waiting={"a", "b"}).line()
    assert "takes all CPU cores of a node waits for room" in line
    assert "on one (0 of 4 CPU cores free), two (3 of 4 CPU cores free); end what" in line
    assert "use launcher.cpus_per_worker=3. The study waits" in line
    gpus = [Node("a", "one", 4, 2, free_cpus=4.0, free_gpus=0.0)]
    assert (
        "takes a GPU waits for room, or for Ray to start it, on one (0 of 2 GPUs free); end what else"
        in lack(WorkerLayout(True), gpus, waiting={"a"}).line()
    )


def test_a_study_whose_workers_are_refused_says_that_it_waits() -> None:
    assert (
        lack(WorkerLayout(False), [], [REFUSED])
        .line()
        .startswith("note: no worker is there: none of those that came is")
    )
