"""The client gets over a backend that fails, and nothing is lost or doubled."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from wandb_mock import MockServer
from wandb_mock.faults import Fault, Faults, Kind

from .conftest import starter

STREAM = "file_stream"
UPLOAD = "PUT /storage"
ROWS = 30

CASES = {
    "stream answers 500": Fault.error(match=STREAM),
    "stream answers 503 but was heard": Fault.error(503, match=STREAM, applied=True),
    "stream answers 429": Fault.throttle(times=2, match=STREAM),
    "stream is cut": Fault.drop(match=STREAM),
    "stream is cut but was heard": Fault.drop(match=STREAM, applied=True),
    "start answers 500 but was heard": Fault.error(match="UpsertBucket", applied=True),
    "start answers 429": Fault.throttle(times=2, match="UpsertBucket"),
    "start is cut": Fault.drop(match="UpsertBucket"),
    "upload answers 500": Fault.error(match=UPLOAD),
    "upload is cut but was heard": Fault.drop(match=UPLOAD, applied=True),
}
AWAY = "away for a while"


def _through(server: MockServer, fault: Fault | None) -> MockServer:
    """One run past `fault`, or past an absence of the server."""
    if fault:
        server.faults.add(fault)
    run = starter(server)()
    if not fault:
        server.faults.away(1.0)
    for step in range(ROWS):
        run.log({"loss": step})
    run.finish()
    return server


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[MockServer]]]:
    """Every case with a server of its own, all at once: each spends its time waiting to try
    again."""
    with ExitStack() as stack, ThreadPoolExecutor(len(CASES) + 1) as threads:
        servers = {name: MockServer(tmp_path_factory.mktemp("backend")) for name in [*CASES, AWAY]}
        for server in servers.values():
            stack.enter_context(server)
        yield {name: threads.submit(_through, server, CASES.get(name)) for name, server in servers.items()}


@pytest.mark.parametrize("name", [*CASES, AWAY])
def test_nothing_is_lost_or_doubled(passed: dict[str, Future[MockServer]], name: str) -> None:
    server = passed[name].result(timeout=30)
    (run,) = server.backend.runs.values()
    assert [row["loss"] for row in run.history] == list(range(ROWS))
    assert run.state == "finished"
    assert "config.yaml" in server.backend.run_files(run)
    if name in CASES:
        assert server.faults.met == {CASES[name].kind: CASES[name].times}
    else:
        assert server.faults.met[Kind.DROP] > 0


def test_faults_come_in_order_and_end() -> None:
    faults = Faults()
    faults.add(Fault.error(502, times=2, match="/graphql Viewer"))
    faults.add(Fault.throttle(retry_after_s=3))
    assert [faults.take("POST /graphql Viewer") for _ in range(4)] == [
        Fault.error(502, times=2, match="/graphql Viewer"),
        Fault.error(502, times=2, match="/graphql Viewer"),
        Fault.throttle(retry_after_s=3),
        None,
    ]
    assert faults.met == {Kind.ERROR: 2, Kind.THROTTLE: 1}


def test_an_absence_ends() -> None:
    faults = Faults()
    faults.away(0.05)
    assert faults.take("GET /") == Fault.drop()
    time.sleep(0.06)
    assert faults.take("GET /") is None
