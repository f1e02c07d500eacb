"""Tests of the numbers that benchmarks compute from the measurements of two sides."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from benchmarks.sides import (
    Event,
    Side,
    Trial,
    agreement,
    check_same_work,
    enqueued,
    in_proportion,
    space,
    training_speed,
)

from sweep.config.compose import Composer
from sweep.config.parse import parse

POINTS = (
    {"optimizer.learning_rate": 1.4e-3, "trainer.per_device_train_batch_size": 8},
    {"optimizer.learning_rate": 8e-05, "trainer.per_device_train_batch_size": 16},
)


def side(*trials: Trial, seconds: float = 10.0) -> Side:
    return Side(seconds, seconds + 5, seconds, trials, (), "packed", "cpu", threads=1, peak_device_bytes=0)


def trial(rows: int = 64, eval_rows: int = 16, accuracy: float = 0.5) -> Trial:
    return Trial(rows, eval_rows, accuracy, seconds=2.0, inside=1.5)


def rounds(start: float, count: int, trials: int, *, seconds: float) -> Iterator[Event]:
    """Steps of 8 rows in which all trials move on together."""
    for index in range(count):
        for number in range(trials):
            yield Event("step", number, start + index * seconds, rows=8)


def test_points_arrive_as_they_are() -> None:
    override = f"study.enqueue={enqueued(POINTS)}"
    config, faults = parse(Composer().compose([override]).resolved(), str)
    assert not faults
    assert config.study.enqueue == POINTS
    assert space(POINTS) == {
        "optimizer.learning_rate": {"low": 8e-05, "high": 1.4e-3, "log": True},
        "trainer.per_device_train_batch_size": {"choices": [8, 16]},
    }


def test_a_part_stands_for_the_whole() -> None:
    assert in_proportion(side(trial(), trial(), seconds=10), 8) == 40


def test_trials_that_saw_other_rows_do_not_compare() -> None:
    check_same_work(side(trial(), trial(), trial()), side(trial(), trial()), "the other")
    for other in (trial(rows=56), trial(eval_rows=8)):
        with pytest.raises(SystemExit, match="trial 1 trained on 64 rows and evaluated 16"):
            check_same_work(side(trial(), trial()), side(trial(), other), "the other")


@pytest.mark.parametrize("trials", [1, 4])
def test_speed_is_of_whole_rounds_without_what_lies_between(trials: int) -> None:
    timeline = [
        *rounds(100.0, 5, trials, seconds=2.0),  # whatever came before 100 s does not count
        Event("eval", 0, 150.0),
        *rounds(200.0, 3, trials, seconds=2.0),
        Event("end", 0, 300.0),
    ]
    assert training_speed(timeline) == pytest.approx(8 * trials / 2.0)


def test_a_trial_that_stops_first_leaves_the_speed_of_the_others() -> None:
    one = [*rounds(0.0, 3, 2, seconds=1.0), Event("end", 1, 3.0), *rounds(4.0, 3, 1, seconds=0.5), Event("end", 0, 6.0)]
    assert training_speed(one) == pytest.approx((2 * 2 * 8 + 2 * 8) / (2.0 + 1.0))


def test_no_speed_without_two_steps() -> None:
    with pytest.raises(ValueError, match="two steps"):
        training_speed([Event("step", 0, 1.0, rows=8), Event("step", 1, 2.0, rows=8), Event("eval", 0, 3.0)])


def test_accuracies_side_by_side() -> None:
    found = agreement(side(trial(accuracy=0.5), trial(accuracy=0.9)), side(trial(accuracy=0.6)))
    assert found["accuracies, sweep"] == "0.500"
    assert found["largest difference in accuracy"] == pytest.approx(0.1)
