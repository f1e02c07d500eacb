"""Kills of a study in one process, with `launcher=inline`."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.conftest import Run, Whole
from support.faults.processes import Kind
from support.faults.program import Processes
from support.faults.series import killed
from support.faults.size import KILLS_A_SERIES, seeds
from support.faults.study import STUDIES, Study

OWN = (Kind.COORDINATOR,)


@pytest.mark.slow  # half of it is one import of everything
def test_a_study_that_is_killed_ends_as_an_uninterrupted_one(run: Run) -> None:
    series = run(Study(trials=2, epochs=4, more=("tracker=none",)), seed=1, count=2, targets=OWN)
    assert series.delivered and not series.faults, series.report()


@pytest.mark.slow
def test_a_study_that_is_killed_while_trials_are_paused(run: Run) -> None:
    series = run(Study(trials=4, epochs=4, more=("tracker=none",), paused=True), seed=1, count=2, targets=OWN)
    assert series.delivered and not series.faults, series.report()


@pytest.mark.faults
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", seeds(share=0.4))
def test_many_kills(run: Run, seed: int) -> None:
    series = run(STUDIES[seed % len(STUDIES)], seed=seed, count=KILLS_A_SERIES, targets=OWN)
    assert not series.faults, series.report()


@pytest.mark.faults
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", seeds(share=0.05))
def test_many_kills_of_a_warm_start(run: Run, whole: Whole, seed: int) -> None:
    earlier = whole(Study(more=("tracker=none",)))
    study = Study(trials=6, more=("tracker=none", "study.seed=5", f"study.warm_start=[{earlier}]"))
    series = run(study, seed=seed, count=KILLS_A_SERIES, targets=OWN)
    assert not series.faults, series.report()


@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_the_command_of_a_user(tmp_path: Path, model: Path, whole: Whole) -> None:
    """The other tests fork the program from a process that has imported it."""
    study = Study(more=("tracker=none",))
    series = killed(
        study, tmp_path / "killed", model=model, starter=Processes(), whole=whole(study), seed=7, count=4, targets=OWN
    )
    assert series.delivered and not series.faults, series.report()


@pytest.mark.faults
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [1, 3, 5])
def test_the_service_of_wandb_is_killed(run: Run, seed: int) -> None:
    series = run(Study("lora"), seed=seed, count=3, targets=(Kind.SERVICE,))
    assert not series.faults, series.report()
