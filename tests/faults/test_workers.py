"""Kills of a study whose trials run on Ray workers: of the workers, of Ray, and of the
coordinator."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from faults.conftest import Run
from support.faults.processes import Kind
from support.faults.servers import Both, Database, RayCluster, ray_cluster
from support.faults.size import KILLS_A_SERIES, seeds
from support.faults.study import STUDIES, Study
from support.postgres import Server, served

pytest.importorskip("ray", reason="Ray is not installed: pip install 'sweep[ray]'")
pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200)]

HERE = ("launcher=local", "launcher.workers=1")
TARGETS = (Kind.COORDINATOR, Kind.WORKER, Kind.WORKER, Kind.RAYLET, Kind.HEAD)


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    """A head and two nodes at 127.0.0.22, 127.0.0.23 and 127.0.0.24."""
    with ray_cluster(first=22) as found:
        yield found


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with served() as found:
        yield found


@pytest.mark.parametrize("seed", seeds(share=0.2))
def test_many_kills_on_this_machine(run: Run, seed: int) -> None:
    study = STUDIES[seed % len(STUDIES)]
    series = run(study, seed=seed, count=KILLS_A_SERIES, targets=TARGETS, more=HERE)
    assert not series.faults, series.report()


@pytest.mark.parametrize("seed", seeds(share=0.05))
def test_many_kills_on_this_machine_with_a_database(run: Run, server: Server, seed: int) -> None:
    study, servers = STUDIES[(seed + 1) % len(STUDIES)], Database(server, server.database())
    targets = (*TARGETS, Kind.DATABASE)
    series = run(study, seed=seed, count=KILLS_A_SERIES // 2, targets=targets, servers=servers, more=HERE)
    assert not series.faults, series.report()


def test_the_service_of_wandb_is_killed(run: Run) -> None:
    series = run(Study("lora"), seed=2, count=3, targets=(Kind.SERVICE,), more=HERE)
    assert series.delivered and not series.faults, series.report()


@pytest.mark.parametrize("seed", seeds(share=0.15))
def test_many_kills_on_a_cluster(run: Run, cluster: RayCluster, seed: int) -> None:
    study = STUDIES[seed % len(STUDIES)]
    series = run(study, seed=seed, count=KILLS_A_SERIES, targets=TARGETS, servers=cluster)
    assert not series.faults, series.report()


@pytest.mark.parametrize("seed", seeds(share=0.1))
def test_many_kills_on_a_cluster_with_a_database(run: Run, cluster: RayCluster, server: Server, seed: int) -> None:
    study, servers = STUDIES[(seed + 1) % len(STUDIES)], Both(cluster, Database(server, server.database()))
    series = run(study, seed=seed, count=KILLS_A_SERIES, targets=(*TARGETS, Kind.DATABASE), servers=servers)
    assert not series.faults, series.report()


def test_nodes_that_join_and_leave(run: Run, cluster: RayCluster) -> None:
    """Nodes are killed one after the other, and others join."""
    series = run(Study(more=("tracker=none",)), seed=5, count=4, targets=(Kind.RAYLET,), servers=cluster)
    assert series.delivered and not series.faults, series.report()
