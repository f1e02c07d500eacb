"""Searches replayed on tables small enough to count by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from benchmarks.curves import Curve, Table, read, recorded
from benchmarks.replay import Policy, distance, replay
from benchmarks.samplers import Measured as Sampled
from benchmarks.search_efficiency import Measured, measure, together
from optuna.pruners import ThresholdPruner
from optuna.samplers import TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from sweep.config.domains import Choices, Range
from sweep.config.space import Parameter, Space

RATE, BATCH = "optimizer.learning_rate", "trainer.per_device_train_batch_size"
SPACE = Space((Parameter(RATE, Range(1e-4, 1e-2, log=True)), Parameter(BATCH, Choices((8, 16)))))


def table(*scores: tuple[float, ...]) -> Table:
    last = max(4, len(scores) - 1)
    curves = (Curve({RATE: 1e-4 * 100 ** (index / last), BATCH: 8}, one) for index, one in enumerate(scores))
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


def test_a_sampler_sees_the_trials_of_all_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a study: Optuna shows a sampler those of one bracket alone where it knows Hyperband."""
    seen: list[set[int]] = []

    def before(_: TPESampler, study: Study, __: FrozenTrial) -> None:
        seen.append({trial.number for trial in study.get_trials(deepcopy=False)})

    monkeypatch.setattr(TPESampler, "before_trial", before)
    even = table(*((0.1 * index, 0.1 * index) for index in range(8)))
    run = replay(even, Policy("tpe", "hyperband"), trials=8)
    assert run.trials == 8
    assert seen == [set(range(number + 1)) for number in range(16)], "each point is asked for, then replaced"


@pytest.mark.parametrize(("slots", "earliest"), [(1, 3), (3, 7)])
def test_rows_after_the_score_to_reach_are_counted_apart(slots: int, earliest: int) -> None:
    """0.9 comes in the third epoch of the second curve, which may be the first to train; 0.899 is
    near enough."""
    runs = [replay(THREE, Policy(), trials=3, slots=slots, seed=seed) for seed in range(12)]
    assert min(run.reached or 0 for run in runs) == earliest
    near = table((0.9, 0.899), (0.1, 0.1))
    assert {replay(near, Policy(), trials=2, seed=seed).reached for seed in range(8)} == {1, 3}


@pytest.mark.parametrize(("slots", "ticks"), [(1, 6), (2, 4)])
def test_uneven_evaluations_cost_the_way_to_them(slots: int, ticks: int) -> None:
    """The evaluations are after one, two and four report steps; the second curve is stopped at its
    second evaluation."""
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


def test_evaluations_within_an_epoch_are_left_out() -> None:
    """Evaluated at an eighth, a half, one and two epochs; two of them are left."""
    early = replace(table((0.1, 0.2, 0.3, 0.4)), at=(1, 4, 8, 16), unit=1 / 8)
    whole = early.after_epochs()
    assert (whole.at, whole.unit, whole.curves[0].scores) == ((1, 2), 1, (0.3, 0.4))
    assert (early.epochs, whole.epochs, early.early, whole.early) == (2, 2, True, False)
    assert early.full_cost == whole.full_cost == pytest.approx(2 * 100 + 2 * 50 / 3)


def test_an_evaluation_costs_a_third_of_training_its_rows() -> None:
    """One of two trials is stopped after an epoch: 100 rows are trained and 50 evaluated, in place
    of three times that."""
    two = table((0.9, 0.9, 0.9), (0.1, 0.1, 0.1))
    run = replay(two, Policy(), trials=2, slots=2, pruner=ThresholdPruner(lower=0.5))
    found = Measured.of(two, [run], slots=2, pruner="by hand")
    assert (run.evaluations, found.evaluations, found.saved) == (4, 2, pytest.approx(1 / 3))
    assert found.cost_saved == pytest.approx(1 / 3), "as often evaluated as trained"
    often = replace(two, at=(2, 4, 8), unit=1 / 4)
    again = Measured.of(often, [replay(often, Policy(), trials=2)], slots=1, pruner="by hand")
    assert again.saved == 0 and again.cost_saved == pytest.approx(1 - (200 + 50) / (200 + 100 / 3))


@pytest.mark.parametrize("early", [False, True])
def test_after_one_epoch_the_best_go_on(early: bool) -> None:
    """Ten curves that never cross, all at once: nothing is stopped before the epoch ends, and all
    but the best then."""
    curves = [(0.05 * index,) * 4 for index in range(10)]
    made = replace(table(*curves), at=(1, 2, 4, 8), unit=0.25) if early else table(*curves)
    policies = {one.pruner: one for one in measure(made, seeds=4) if one.slots >= 8}
    epochs = made.epochs
    for kept in (1, 2, 3):
        waiting = policies[f"waiting: one epoch each, the best {kept} to the end"]
        assert waiting.saved == pytest.approx((10 - kept) * (epochs - 1) / (10 * epochs))
        best = policies[f"one epoch, the best {kept} go on"]
        assert 0 < best.saved <= 9 * (epochs - 1) / (10 * epochs) and best.within == 1


def test_samplers_are_distinguished_by_the_rows_until_the_same_score() -> None:
    """Two epochs of 0.6 in the first curve, then of 0.9 in the second, if they come in that order;
    0.95 is never had."""
    two = table((0.6, 0.6), (0.9, 0.9))
    runs = [replay(two, Policy(), trials=2, seed=seed) for seed in range(8)]
    assert {run.trials_until(0.9) for run in runs} == {0.5, 1.5}
    assert {run.trials_until(0.95) for run in runs} == {2}
    names = {"table": "by hand", "slots": 1, "pruner": "none", "sampler": "random"}
    assert Sampled.of(runs, 0.95, **names).until == 2 and Sampled.of(runs, 0.9, **names).error == 0


@pytest.mark.parametrize("sampler", ["gp", "tpe"])
def test_a_sampler_that_learns_asks_for_the_good_end_of_the_space(sampler: str) -> None:
    """Forty curves, the better the higher their rate: after sixteen of them it has had one of the
    best four."""
    rising = table(*((index / 40,) for index in range(40)))
    assert replay(rising, Policy(sampler), trials=16).best >= 36 / 40


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
