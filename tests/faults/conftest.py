"""Fixtures of the kill tests: a starter, a tiny model, uninterrupted runs to compare with, and
series of kills."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import pytest

from support.faults.journal import VARIABLE, lines, table
from support.faults.program import Starter, forks
from support.faults.series import Series, killed
from support.faults.study import Study
from support.tiny import tiny_bert

Whole = Callable[[Study], Path]


class Run(Protocol):
    """Kills a study `count` times, and compares it with an uninterrupted run of it. `more` are
    further arguments of the killed one alone."""

    def __call__(
        self, study: Study, *, seed: int, count: int, more: tuple[str, ...] = (), **options: Any
    ) -> Series: ...


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
        assert series.starts == 1 and not series.faults, series.report()
        return series.run_dir

    return ended


@pytest.fixture
def run(tmp_path: Path, model: Path, starter: Starter, whole: Whole) -> Run:
    """Return the function that runs a series. Its folder is kept where something did not hold."""

    def series(study: Study, *, seed: int, count: int, more: tuple[str, ...] = (), **options: Any) -> Series:
        return killed(
            replace(study, more=(*study.more, *more)), tmp_path / f"killed-{seed}", model=model, starter=starter,
            whole=whole(study), seed=seed, count=count, **options,
        )  # fmt: skip

    return series


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the kills of all series that the journal has."""
    name = os.environ.get(VARIABLE)
    if name and Path(name).exists():
        terminalreporter.section(f"signals, one a line in {name}")
        terminalreporter.write_line(table(lines(Path(name))))
