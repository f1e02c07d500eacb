"""Kills of a study in one process, with `launcher=inline`."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.conftest import Whole
from support.faults.kills import planned
from support.faults.processes import Kind
from support.faults.program import Processes, Starter
from support.faults.series import Series
from support.faults.size import KILLS_A_SERIES, seeds
from support.faults.study import Study

TARGETS = (Kind.COORDINATOR, Kind.COORDINATOR, Kind.COORDINATOR, Kind.COORDINATOR, Kind.SERVICE)


@pytest.fixture(
    params=[Study("head", finals=True, more=("tracker=none",)), Study("lora"), Study("lora", finals=True)], ids=str
)
def study(request: pytest.FixtureRequest) -> Study:
    found: Study = request.param
    return found


def killed(study: Study, folder: Path, *, model: Path, starter: Starter, whole: Path, seed: int, count: int) -> Series:
    """Return the series of a study that was killed `count` times and has ended."""
    series = Series(study.arguments(model, folder), folder, starter, seed)
    series.run(planned(study, TARGETS, seed=seed, count=count))
    series.compare(whole)
    return series


def test_a_study_that_is_killed_ends_as_an_uninterrupted_one(
    tmp_path: Path, model: Path, starter: Starter, whole: Whole
) -> None:
    study = Study(trials=2, epochs=4, more=("tracker=none",))
    series = killed(study, tmp_path, model=model, starter=starter, whole=whole(study), seed=1, count=2)
    assert series.delivered and not series.faults, series.report()


@pytest.mark.faults
@pytest.mark.timeout(7200)
def test_many_kills(
    study: Study, tmp_path: Path, model: Path, starter: Starter, whole: Whole, subtests: pytest.Subtests
) -> None:
    for seed in seeds(share=0.1):
        folder = tmp_path / str(seed)
        folder.mkdir()
        with subtests.test(seed=seed):
            series = killed(
                study, folder, model=model, starter=starter, whole=whole(study), seed=seed, count=KILLS_A_SERIES
            )
            assert not series.faults, series.report()


@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_the_command_of_a_user(tmp_path: Path, model: Path, whole: Whole) -> None:
    """The other tests fork the program from a process that has imported it."""
    study = Study()
    series = killed(study, tmp_path, model=model, starter=Processes(), whole=whole(study), seed=7, count=4)
    assert series.delivered and not series.faults, series.report()
