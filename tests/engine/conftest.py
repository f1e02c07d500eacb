"""Fixtures of the tests of engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.packs import double_precision, steady_plan
from support.trials import Watcher, make_data, make_model, make_plan
from sweep.data.tokenise import TokenisedData
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.trial import TrialPlan


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("tiny-bert"))


@pytest.fixture(scope="session")
def steady_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model, without dropout."""
    return make_model(tmp_path_factory.mktemp("tiny-bert"), dropout=0.0)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> TokenisedData:
    return make_data(tmp_path_factory.mktemp("tokens"))


@pytest.fixture(scope="session")
def several(tmp_path_factory: pytest.TempPathFactory) -> TokenisedData:
    return make_data(tmp_path_factory.mktemp("tokens"), several=True)


@pytest.fixture(scope="session")
def base_models() -> BaseModelCache:
    return BaseModelCache("cpu")


@pytest.fixture
def plan(model_dir: Path) -> Callable[..., TrialPlan]:
    return lambda **sections: make_plan(model_dir, **sections)


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


@pytest.fixture
def in_double(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with double_precision(monkeypatch):
        yield


@pytest.fixture
def trial(steady_model_dir: Path) -> Callable[..., TrialPlan]:
    """Return a maker of trials for a pack: no dropout, every step logged, the last weights
    kept."""
    return lambda number=0, **sections: steady_plan(steady_model_dir, number, **sections)
