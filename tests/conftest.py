"""Nothing leaves the machine, and nothing is written outside a test's own folder."""

from __future__ import annotations

import gc
import os
import sqlite3
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import alembic.util
import pytest
from sqlalchemy import Engine, event

from support.postgres import Server, served

# Before any library reads them, at import.
os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "OMP_NUM_THREADS": "1",  # the matrices here are too small to be worth sharing out
    "GOMP_SPINCOUNT": "1000",
    "MKL_CBWR": "AUTO,STRICT",  # else the last bit of a product depends on where in memory its factors lie
}
for _name in ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_PROJECT", "WANDB_ENTITY", "MLFLOW_TRACKING_URI"):
    os.environ.pop(_name, None)


@pytest.fixture(scope="session")
def vega(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that keeps the JavaScript of Vega between tests: making it takes a second."""
    return tmp_path_factory.mktemp("vega")


def pytest_collection_finish() -> None:
    """Take the libraries and tests that are loaded by now from the garbage collector: going through
    them takes it longer than most tests, and trainings ask it to several times."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vega: Path) -> Iterator[None]:
    for name in ("SWEEP_CACHE", "WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        folder = tmp_path / ".own" / name.lower()
        folder.mkdir(parents=True)
        monkeypatch.setenv(name, str(folder))
    cache = tmp_path / ".own" / "sweep_cache"
    for kept in vega.iterdir():
        (cache / kept.name).hardlink_to(kept)
    yield
    for made in cache.glob("vega-*.js"):
        if not (vega / made.name).exists():
            (vega / made.name).hardlink_to(made)


@pytest.fixture(autouse=True)
def artifacts_removed() -> Iterator[None]:
    """Remove the temporary folders of artifacts at the end of the test that made them. The client of
    W&B keeps the last hundred artifacts of a process, and leaves the folders of earlier ones to the
    garbage collector, which warns of it in the middle of any later test."""
    yield
    module = sys.modules.get("wandb.sdk.artifacts.artifact_instance_cache")
    for artifact in module.artifact_instance_cache_by_client_id.values() if module else ():
        if artifact._tmp_dir is not None:
            artifact._tmp_dir.cleanup()


@pytest.fixture(scope="session", autouse=True)
def revisions_read_once() -> Iterator[None]:
    """Let Alembic read each script of Optuna's and MLflow's tables once: it reads all of them for
    each storage that is opened, which takes longer than a study of toys."""
    usual = alembic.util.load_python_file
    known = cache(usual)

    def load(folder: Any, name: str) -> Any:
        return usual(folder, name) if name == "env.py" else known(folder, name)  # env.py runs the scripts

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(alembic.util, "load_python_file", load)
        yield


@pytest.fixture(scope="session", autouse=True)
def disk_not_waited_for() -> Iterator[None]:
    """Leave out what keeps files after a power failure alone: a study of toys would spend most of
    its time on that."""

    def connected(connection: Any, _record: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous = OFF")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", lambda _: None)
        event.listen(Engine, "connect", connected)
        yield
        event.remove(Engine, "connect", connected)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """Return a PostgreSQL server for all tests; skipped where none is installed."""
    with served() as server:
        yield server
