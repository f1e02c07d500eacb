"""Fixtures of the kill tests: a starter, a tiny model, and uninterrupted runs to compare with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from support.faults.program import Starter, forks
from support.faults.series import Series
from support.faults.study import Study
from support.tiny import tiny_bert

Whole = Callable[[Study], Path]


@pytest.fixture(scope="session")
def starter() -> Iterator[Starter]:
    with forks() as found:
        yield found


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="session")
def whole(starter: Starter, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Return a function that gives the run directory of a study which nothing interrupts."""

    @cache
    def ended(study: Study) -> Path:
        folder = tmp_path_factory.mktemp("whole")
        series = Series(study.arguments(model, folder), folder, starter, seed=0)
        series.run([])
        assert not series.faults, series.report()
        return series.run_dir

    return ended
