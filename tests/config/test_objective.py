from __future__ import annotations

import math

from sweep.config.objective import Objective, second_objective, two_objectives

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


def ordered(within: float, *values: tuple[float, float], maximize: bool = True) -> list[int]:
    """Return the places of pairs of values in the order of two objectives; less is better of the
    second one."""
    objective = Objective("eval/x", maximize, second=Objective("cost/seconds", maximize=False), within=within)
    places = range(len(values))
    return objective.chosen_first(places, lambda one: values[one][0], lambda one: values[one][1])


def test_the_best_in_the_first_objective_wins_and_the_second_decides_between_equals() -> None:
    assert ordered(0.0, (0.9, 5.0), (0.8, 1.0), (0.9, 4.0), (0.85, 2.0)) == [2, 0, 3, 1]
    assert ordered(0.0, (0.2, 5.0), (0.3, 1.0), (0.2, 4.0), maximize=False) == [2, 0, 1]


def test_the_best_in_the_second_objective_wins_among_those_within_reach_of_the_first() -> None:
    assert ordered(0.05, (0.9, 5.0), (0.84, 1.0), (0.86, 3.0), (0.85, 2.0)) == [3, 2, 0, 1]


def test_a_second_value_that_was_not_measured_comes_last() -> None:
    assert ordered(0.1, (0.9, math.nan), (0.85, 9.0)) == [1, 0]


def test_items_keep_their_order_where_there_is_one_objective() -> None:
    assert ACCURACY.chosen_first([2, 1], lambda one: one, lambda one: one) == [2, 1]


def test_a_list_of_two_is_the_value_of_two_keys() -> None:
    found = two_objectives({"metric": ["eval/accuracy", "cost/seconds"], "direction": ["maximize", "minimize"]})
    assert found == {
        "metric": "eval/accuracy", "second_metric": "cost/seconds", "direction": "maximize", "second_direction": "minimize"
    }  # fmt: skip
    assert two_objectives({"metric": ["eval/loss"], "second_metric": None}) == {
        "metric": "eval/loss",
        "second_metric": None,
    }
    assert two_objectives({"metric": ["a", "b"], "second_metric": "b"})["metric"] == "a"
    for wrong in ({"metric": ["a", "b", "c"]}, {"metric": []}, {"metric": ["a", "b"], "second_metric": "c"}):
        assert two_objectives(wrong) == wrong


def test_less_is_better_of_measured_values_and_the_direction_of_a_metric_is_known() -> None:
    assert not second_objective("cost/peak_device_bytes", None).maximize
    assert not second_objective("eval/ece", None).maximize
    assert second_objective("eval/mcc", None).maximize
    assert not second_objective("eval/mine", "minimize").maximize
