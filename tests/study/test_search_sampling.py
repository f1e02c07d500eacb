"""A search with each sampler and each pruner."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from support.studies import PLAIN, points, searched
from support.toys import ToyEngine
from sweep.records.trial import Pruned


@pytest.mark.parametrize("name", ["tpe", "random", "qmc", "cmaes", "gp"])
def test_each_sampler_asks_for_the_same_points_when_resumed(tmp_path: Path, name: str) -> None:
    options = (f"study.sampler={name}", *PLAIN)
    whole = searched(tmp_path / "a", "study.n_trials=7", *options)
    searched(tmp_path / "b", "study.n_trials=3", *options)
    assert points(searched(tmp_path / "b", "study.n_trials=7", *options)) == points(whole)
    assert len(set(points(whole))) > 3


@pytest.mark.parametrize("slots", [1, 3])
def test_a_sequence_is_the_same_whatever_becomes_of_its_first_point(tmp_path: Path, slots: int) -> None:
    """The first point has a rank, and others have none."""
    options = ("study.sampler=qmc", "study.space=adapters", "study.n_trials=6", *PLAIN)
    whole = searched(tmp_path / "whole", *options)
    assert len({tuple(record.params) for record in whole}) > 1
    diverging = ToyEngine(luck=lambda trial: 0.0 if trial.number else math.nan, slots=slots)
    records = searched(tmp_path / "failed", *options, engine=diverging)
    assert records[0].state == "diverged" and points(records) == points(whole)


def test_a_grid_is_walked_once_and_then_ends(tmp_path: Path) -> None:
    options = ("study.sampler=grid", "study.space=grid", "study.n_trials=50", *PLAIN)
    records = searched(tmp_path, *options)
    assert len(set(points(records))) == len(records) == 9


@pytest.mark.parametrize("name", ["median", "racing", "successive_halving", "hyperband", "percentile", "patient"])
def test_each_pruner_runs(tmp_path: Path, name: str) -> None:
    records = searched(tmp_path, f"study.pruner={name}", "study.n_trials=8")
    assert {record.state for record in records} <= {"completed", "pruned"}
    assert any(record.state == "completed" for record in records)


def test_a_weak_trial_is_pruned_and_keeps_its_evaluations(tmp_path: Path) -> None:
    enqueue = "study.enqueue=[{optimizer.learning_rate: 1e-3},{optimizer.learning_rate: 1.1e-3},{optimizer.learning_rate: 9e-3}]"
    record = searched(tmp_path, enqueue, "study.n_trials=3", "study.pruner=median", "trainer.eval_strategy=epoch")[2]
    assert record.state == "pruned"
    assert [point.index for point in record.outcome.evals] == [1, 2]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("racing", "finalists: 1"),
        ("median", "n_startup_trials: 1, n_warmup_steps: 0"),
        ("percentile", "percentile: 10.0, n_startup_trials: 1, n_warmup_steps: 0"),
        ("successive_halving", "reduction_factor: 2"),
        ("hyperband", "min_resource: 1, max_resource: 9, reduction_factor: 3"),
    ],
)
def test_no_pruner_stops_a_trial_within_its_warmup(tmp_path: Path, name: str, options: str) -> None:
    """Each trial is worse than the one before, and the warmup ends between the first evaluation
    and the second. Without snapshots racing stops trials for good, too."""
    scarce: tuple[str, ...] = (
        "study.n_trials=8",
        "study.snapshots=never",
        "study.sampler=random",
        "trainer.eval_strategy=epoch",
        f"study.pruner={name}",
    )
    scarce = (*scarce, f"study.pruner_options={{{options}}}")
    stopped = {}
    for warmup in (0.0, 0.5):
        engine = ToyEngine(luck=lambda trial: -float(trial.number))
        records = searched(tmp_path / str(warmup), *scarce, f"optimizer.warmup_steps={warmup}", engine=engine)
        stopped[warmup] = {len(record.outcome.evals) for record in records if isinstance(record.outcome, Pruned)}
        for record in records:
            if isinstance(record.outcome, Pruned):
                assert record.outcome.evals[-1].step > warmup * record.total_steps
    assert 1 in stopped[0.0] and stopped[0.5] == {2}
