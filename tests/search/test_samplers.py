"""Samplers as a study makes them, one for each ask."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from sweep.config.domains import Choices, Range
from sweep.config.schema import SamplerName, StudyConfig
from sweep.config.space import Parameter, Space
from sweep.search.distributions import distribution
from sweep.search.samplers import PLACE, grid_point, sampler

RATE, RANK = "optimizer.learning_rate", "adapter.r"
SPACE = Space((Parameter(RATE, Range(1e-4, 1e-2, log=True)), Parameter(RANK, Choices((2, 4, 8)))))
GRID = Space((Parameter(RATE, Choices((0.1, 0.2))), Parameter(RANK, Choices((2, 4, 8)))))


def ask(study: optuna.Study, config: StudyConfig, space: Space, place: int) -> optuna.Trial:
    """Return the trial of the ask that follows `place` earlier ones."""
    study.sampler = sampler(config, space, place)
    trial = study.ask()
    trial.set_user_attr(PLACE, place)
    for parameter in space:
        trial._suggest(parameter.key, distribution(parameter))
    return trial


def points(config: StudyConfig, count: int, *, again: int | None = None) -> list[dict[str, Any]]:
    """Return the points of `count` asks; the trial at place `again` is lost, and its point is not
    asked for anew."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    found = []
    for place in range(count):
        trial = ask(study, config, GRID if config.sampler == "grid" else SPACE, place)
        found.append(trial.params)
        study.tell(trial, None if place == again else 1.0 / (place + 1), state=_state(lost=place == again))
    return found


def _state(*, lost: bool) -> optuna.trial.TrialState:
    return optuna.trial.TrialState.FAIL if lost else optuna.trial.TrialState.COMPLETE


@pytest.mark.parametrize("name", ["tpe", "cmaes", "qmc", "random", "grid"])
def test_the_seed_and_the_place_decide_a_point(name: SamplerName) -> None:
    config = StudyConfig(sampler=name, seed=3)
    first = points(config, 6)
    assert first == points(config, 6)
    assert len({tuple(point.items()) for point in first}) > 1
    if name != "grid":
        assert first != points(config.model_copy(update={"seed": 4}), 6)


def test_a_grid_asks_for_each_of_its_points_once_in_the_order_of_its_places() -> None:
    config = StudyConfig(sampler="grid")
    found = points(config, 6)
    assert len({tuple(sorted(point.items())) for point in found}) == 6
    study = optuna.create_study()
    trial = ask(study, config, GRID, 4)
    assert trial.params == found[4]
    (kept,) = study.get_trials()
    assert grid_point(config, GRID, kept) == found[4]


def test_a_grid_point_is_whole_before_its_values_are_asked_for() -> None:
    config, study = StudyConfig(sampler="grid"), optuna.create_study()
    study.sampler = sampler(config, GRID, 5)
    trial = study.ask()
    (kept,) = study.get_trials()
    whole = grid_point(config, GRID, kept)
    assert whole is not None and set(whole) == {RATE, RANK} and not trial.params
    assert grid_point(StudyConfig(sampler="random"), GRID, kept) is None


@pytest.mark.parametrize("again", [0, 2])
def test_a_sequence_keeps_its_place_where_a_trial_was_lost(again: int) -> None:
    """Optuna would count the lost trial as a place of its own, and forget the axes of the first."""
    config = StudyConfig(sampler="qmc", seed=1)
    assert points(config, 5, again=again) == points(config, 5)


def test_trials_that_run_at_once_do_not_share_a_draw() -> None:
    config, study = StudyConfig(sampler="random"), optuna.create_study()
    assert ask(study, config, SPACE, 0).params != ask(study, config, SPACE, 1).params


@pytest.mark.parametrize(("domain", "expected"), [
    (Choices((1, "a", None)), CategoricalDistribution((1, "a", None))),
    (Range(2, 8), IntDistribution(2, 8)),
    (Range(2, 8, step=2), IntDistribution(2, 8, step=2)),
    (Range(1, 8, log=True), IntDistribution(1, 8, log=True)),
    (Range(0.5, 2), FloatDistribution(0.5, 2.0)),
    (Range(0.0, 1.0, step=0.25), FloatDistribution(0.0, 1.0, step=0.25)),
], ids=str)  # fmt: skip
def test_a_domain_is_the_distribution_of_the_same_values(domain: Choices | Range, expected: object) -> None:
    assert distribution(Parameter("key", domain)) == expected
