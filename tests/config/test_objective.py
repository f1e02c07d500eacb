from __future__ import annotations

import math

from sweep.config.objective import Objective

ACCURACY = Objective("eval/accuracy", maximize=True)


def scored(accuracy: float, loss: float = math.nan) -> dict[str, float]:
    return {"eval/accuracy": accuracy, "eval/loss": loss}


def test_equal_scores_are_ordered_by_the_loss() -> None:
    items = {"late": scored(1.0, 0.3), "early": scored(1.0, 0.5), "unknown": scored(1.0), "worse": scored(0.9, 0.1)}
    assert ACCURACY.ranked(items, items.__getitem__) == ["late", "early", "unknown", "worse"]


def test_equal_losses_are_ordered_by_size_then_as_given() -> None:
    sizes = {"a": 9, "b": 5, "c": 9}
    assert ACCURACY.ranked(sizes, lambda _: scored(1.0, 0.3), sizes.__getitem__) == ["b", "a", "c"]


def test_a_lower_value_is_better_where_it_is_minimised() -> None:
    loss = Objective("eval/loss", maximize=False)
    assert loss.better(scored(0.5, 0.1), scored(0.9, 0.2))
    assert not loss.better(scored(0.9, 0.1), scored(0.5, 0.1))


def test_values_that_are_not_finite_are_left_out() -> None:
    items = {"nan": scored(math.nan, 0.1), "some": scored(0.2, 0.3)}
    assert ACCURACY.ranked(items, items.__getitem__) == ["some"]


def test_the_direction_of_the_study_is_that_of_its_own_metric_on_every_split():
    objective = Objective("eval/cost_of_errors", maximize=False)
    assert objective.lower("cost_of_errors") and objective.lower("test/cost_of_errors")
    assert objective.lower("test/loss")
    assert not objective.lower("accuracy")
    assert not Objective("eval/gain", maximize=True).lower("gain")
