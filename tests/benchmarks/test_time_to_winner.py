"""The parts of `benchmarks.time_to_winner` that train nothing."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from benchmarks.time_to_winner import OURS, SIDES, Winner, compared, random_points, ratios, results_file
from benchmarks.trainer_winner import SIDES as THEIRS
from benchmarks.trainer_winner import frozen_model

from support.tiny import tiny_bert
from sweep.config.folders import sweeps_dir
from sweep.config.space import load


def test_points_are_of_the_space_and_the_same_for_a_seed() -> None:
    space, faults = load(sweeps_dir() / "quickstart.yaml", {})
    assert not faults
    points = random_points(space, 16, 3)
    assert points == random_points(space, 16, 3) != random_points(space, 16, 4)
    for point in points:
        assert list(point) == [parameter.key for parameter in space]
        assert all(parameter.domain.contains(point[parameter.key]) for parameter in space)


def test_a_winner_is_as_good_within_two_tenths_of_a_point() -> None:
    scores = {OURS: 0.898, "optuna": 0.9, "median": 0.8979, "asha": 0.95}
    found = compared([Winner(side, 0, 1.0, score, 10) for side, score in scores.items()])
    assert [one.good for one in found] == [True, True, False, True]


def test_ratios_are_of_the_medians() -> None:
    seconds = {OURS: (10, 30, 20), "optuna": (300, 200, 400), "median": (100, 100, 100), "asha": (60, 80, 40)}
    winners = [Winner(side, seed, each[seed], 0.9, 10) for side, each in seconds.items() for seed in range(3)]
    assert ratios(winners) == {"optuna": 15, "median": 5, "asha": 3}
    assert THEIRS == SIDES


def test_each_task_adapter_and_device_has_its_own_file() -> None:
    def name(adapter: str, data: Path | None = None, device: str = "cpu") -> str:
        return results_file(Namespace(adapter=adapter, data=data, device=device)).name

    assert name("lora") == "time_to_winner_quickstart_cpu.json"
    assert name("head") == "time_to_winner_quickstart_head_cpu.json"
    assert name("head", Path(), "cuda") == "time_to_winner_banking77_head_cuda.json"


def test_the_trainer_trains_the_head_alone_over_a_base_without_dropout(tmp_path: Path) -> None:
    model = frozen_model(str(tiny_bert(tmp_path)), 3).train()
    trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert trained == ["classifier.weight", "classifier.bias"]
    assert model.dropout.training and not any(part.training for part in model.base_model.modules())
