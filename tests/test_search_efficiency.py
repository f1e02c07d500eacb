"""Searches replayed on tables small enough to count by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from benchmarks.curves import Curve, Table, read, recorded
from benchmarks.replay import Policy, distance, replay
from benchmarks.search_efficiency import together
from optuna.pruners import ThresholdPruner

from sweep.config.space import Choices, Parameter, Range, Space

RATE, BATCH = "optimizer.learning_rate", "trainer.per_device_train_batch_size"
SPACE = Space((Parameter(RATE, Range(1e-4, 1e-2, log=True)), Parameter(BATCH, Choices((8, 16)))))


def table(*scores: tuple[float, ...]) -> Table:
    curves = (Curve({RATE: 1e-4 * 10 ** (index / 2), BATCH: 8}, one) for index, one in enumerate(scores))
    return Table("by hand", 100, 50, SPACE, tuple(curves), tuple(range(1, len(scores[0]) + 1)))


THREE = table((0.6, 0.8, 0.7), (0.4, 0.8, 0.9), (0.1, 0.1, 0.1))


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_without_pruning_every_row_is_trained_once_and_nothing_is_missed(sampler: str) -> None:
    run = replay(THREE, Policy(sampler), trials=3)
    assert (run.trained, run.ticks, run.saved, run.regret, run.best) == (9, 9, 0, 0, 0.9)


@pytest.mark.parametrize(("slots", "ticks"), [(1, 5), (3, 3)])
@pytest.mark.parametrize("seed", range(3))
def test_a_stopped_trial_costs_what_it_trained_and_its_best_score_is_missed(slots: int, ticks: int, seed: int) -> None:
    """Below 0.5 a trial is stopped: the second and the third after one epoch each."""
    run = replay(THREE, Policy(), trials=3, slots=slots, seed=seed, pruner=ThresholdPruner(lower=0.5))
    assert (run.trained, run.ticks, run.best, run.full) == (5, ticks, 0.8, 0.9)
    assert run.saved == pytest.approx(4 / 9) and run.regret == pytest.approx(0.1)
    assert run.reached is None and run.saved_until_there == 0


@pytest.mark.parametrize("slots", [1, 2])
def test_halving_stops_the_worse_of_two_once_the_better_one_is_known(slots: int) -> None:
    """Rungs after epochs 1 and 2. The worse one, if it is first, has nothing to lose against."""
    halving = Policy(pruner="successive_halving", pruner_options={"min_resource": 1, "reduction_factor": 2})
    two = table((0.9, 0.9, 0.9), (0.1, 0.1, 0.1))
    runs = [replay(two, halving, trials=2, slots=slots, seed=seed) for seed in range(8)]
    assert {run.trained for run in runs} == {4, 6}
    assert {run.regret for run in runs} == {0}


@pytest.mark.parametrize(("slots", "earliest"), [(1, 3), (3, 7)])
def test_rows_after_the_score_to_reach_are_counted_apart(slots: int, earliest: int) -> None:
    """0.9 comes in the third epoch of the second curve, which may be the first to train; 0.899 is near enough."""
    runs = [replay(THREE, Policy(), trials=3, slots=slots, seed=seed) for seed in range(12)]
    assert min(run.reached or 0 for run in runs) == earliest
    near = table((0.9, 0.899), (0.1, 0.1))
    assert {replay(near, Policy(), trials=2, seed=seed).reached for seed in range(8)} == {1, 3}


@pytest.mark.parametrize(("slots", "ticks"), [(1, 6), (2, 4)])
def test_uneven_evaluations_cost_the_way_to_them(slots: int, ticks: int) -> None:
    """Evaluated after one milestone, two and four; the second curve is stopped at its second evaluation."""
    uneven = replace(table((0.6, 0.7, 0.8), (0.6, 0.1, 0.1)), at=(1, 2, 4), unit=0.25)
    for seed in range(4):
        run = replay(uneven, Policy(), trials=2, slots=slots, seed=seed, pruner=ThresholdPruner(lower=0.5))
        assert (run.trained, run.ticks, run.length, run.saved) == (6, ticks, 4, 1 / 4)
    assert together(uneven, trials=2, stages=((2, 1),), seed=0).trained == 2 * 2 + 2


def test_all_together_for_an_epoch_and_the_best_to_the_end() -> None:
    run = together(THREE, trials=3, stages=((1, 1),), seed=0)
    assert (run.trained, run.best, run.full, run.reached) == (5, 0.8, 0.9, None)
    two = together(THREE, trials=3, stages=((1, 2),), seed=0)
    assert (two.regret, two.trained, two.reached) == (0, 3 + 2 + 2, 7)
    assert together(THREE, trials=3, stages=((1, 2), (2, 1)), seed=0).trained == 3 + 2 + 1


def test_more_trials_than_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="4 trials of a table of 3"):
        replay(THREE, Policy(), trials=4)


def test_distance_is_in_the_unit_cube() -> None:
    here, there = {RATE: 1e-4, BATCH: 8}, {RATE: 1e-3, BATCH: 16}
    assert distance(SPACE, here, here) == 0
    assert distance(SPACE, here, there) == pytest.approx(0.5**2 + 1)


@pytest.mark.parametrize("name", recorded())
def test_the_recorded_tables_are_whole(name: str) -> None:
    found = read(name)
    assert len(found.curves) >= 32
    for curve in found.curves:
        assert len(curve.scores) == len(found.at) and all(0 <= score <= 1 for score in curve.scores)
        assert all(found.space[key].domain.contains(value) for key, value in curve.params.items())
