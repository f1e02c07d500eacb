"""Nothing leaves the machine, and nothing is written outside a test's own folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

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
    "MPLBACKEND": "agg",
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


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """Return a PostgreSQL server for all tests; skipped where none is installed."""
    with served() as server:
        yield server
