"""The real wandb client, pointed at a mock backend and kept from everything else of the
machine."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb

from wandb_mock import MockServer

Start = Callable[..., "wandb.Run"]
Wait = Callable[[Callable[[], Any]], None]


@pytest.fixture(scope="module", autouse=True)
def _sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One client service for a module, with nothing of the user's: no key, netrc, settings or
    cache."""
    home = tmp_path_factory.mktemp("wandb")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_MODE", "WANDB_ENTITY", "WANDB_PROJECT"):
            patch.delenv(name, raising=False)
        for name in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
            patch.setenv(name, str(home))
        patch.setattr(tempfile, "tempdir", str(home))
        patch.setenv("NETRC", str(home / "netrc"))
        patch.setenv("WANDB_ERROR_REPORTING", "false")
        patch.setenv("WANDB_SILENT", "true")
        yield
        wandb.teardown()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MockServer]:
    with MockServer(tmp_path / "backend") as server:
        yield server


def starter(server: MockServer) -> Start:
    """Return a function that starts a run: history and retries go out each second, the least wait
    that the client knows."""

    def start(**given: Any) -> wandb.Run:
        settings = wandb.Settings(
            base_url=server.url,
            api_key=server.api_key,
            x_disable_stats=True,
            console="off",
            x_file_stream_transmit_interval=1,
            x_file_stream_retry_wait_min_seconds=1,
            x_file_stream_retry_wait_max_seconds=1,
            x_graphql_retry_wait_min_seconds=1,
            x_graphql_retry_wait_max_seconds=1,
            x_file_transfer_retry_wait_min_seconds=1,
            x_file_transfer_retry_wait_max_seconds=1,
        )
        chosen = {"project": "study", "mode": "online", "reinit": "create_new", **given}
        return wandb.init(settings=settings, **chosen)

    return start


def api_of(server: MockServer) -> wandb.Api:
    return wandb.Api(overrides={"base_url": server.url}, api_key=server.api_key)


@pytest.fixture
def start(server: MockServer) -> Start:
    return starter(server)


@pytest.fixture
def wait() -> Wait:
    """Wait until something holds, for some seconds at most."""

    def until(holds: Callable[[], Any]) -> None:
        deadline = time.monotonic() + 5
        while not holds():
            assert time.monotonic() < deadline, "did not come about in 5 s"
            time.sleep(0.02)

    return until
