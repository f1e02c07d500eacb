"""Kills of a study in a PostgreSQL server: of the program, and of the server itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from faults.conftest import Run
from support.faults.processes import Kind
from support.faults.servers import Database
from support.faults.size import KILLS_A_SERIES, seeds
from support.faults.study import STUDIES
from support.postgres import Server, served

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200)]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with served() as found:
        yield found


@pytest.mark.parametrize("seed", seeds(share=0.15))
def test_many_kills(run: Run, server: Server, seed: int) -> None:
    study = STUDIES[(seed + 1) % len(STUDIES)]
    servers = Database(server, server.database())
    series = run(study, seed=seed, count=KILLS_A_SERIES, targets=(Kind.COORDINATOR, Kind.DATABASE), servers=servers)
    assert not series.faults, series.report()
