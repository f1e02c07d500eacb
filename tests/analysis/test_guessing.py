"""The winner beside three ways of guessing, on the same resampled test rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import f1_score

from sweep.analysis.guessing import MAJORITY, coded, guesses, recorded, resample_test
from sweep.analysis.inference import wilson


def one(rows: int, labels: int, right: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels in turn; the first `right` rows are predicted rightly, the others as the next
    label."""
    truth = np.arange(rows) % labels
    predicted = np.where(np.arange(rows) < right, truth, (truth + 1) % labels)
    return truth, predicted


def test_one_right_of_a_hundred_on_77_labels_is_no_better_than_guessing() -> None:
    """The majority class of train has no test row, so it scores 0; a guess with equal chances
    scores 1/77."""
    truth, predicted = one(100, 77, right=1)
    truth, predicted = np.maximum(truth, 1), np.where(predicted == 0, 1, predicted)
    shares = [0.24, *[0.01] * 76]
    found = resample_test("single_label", truth, predicted, shares, {"accuracy": 0.01})
    assert found.guesses[MAJORITY["single_label"]].metrics["accuracy"] == 0
    against = found.against_guessing("accuracy")
    assert against is not None
    assert (against.guess, against.better) == ("guess with equal chances", 0)
    assert against.guess_value == pytest.approx(1 / 77)
    assert against.interval == wilson(0.01, 100)
    assert against.guess_interval == wilson(1 / 77, 100)


@pytest.mark.parametrize(("right", "better"), [(90, 1), (50, 0), (20, -1)])
def test_better_not_distinguished_and_worse(right: int, better: int) -> None:
    truth, predicted = one(100, 2, right)
    scores = resample_test("single_label", truth, predicted, (0.5, 0.5), {"accuracy": right / 100})
    found = scores.against_guessing("accuracy")
    assert found is not None
    assert found.better == better


def test_the_metric_that_was_searched_for_has_an_interval_of_its_own() -> None:
    truth, predicted = one(300, 3, right=240)
    value = float(f1_score(truth, predicted, average="macro"))
    found = resample_test("single_label", truth, predicted, (1 / 3,) * 3, {"f1_macro": value})
    low, high = found.interval("f1_macro") or (math.nan, math.nan)
    draw = np.random.default_rng(5)
    again = [f1_score(truth[rows], predicted[rows], average="macro") for rows in draw.integers(0, 300, (400, 300))]
    assert (low, high) == pytest.approx(tuple(np.percentile(again, (2.5, 97.5))), abs=0.01)
    assert low < value < high


def test_a_macro_average_is_compared_with_the_guess_that_is_best_in_it() -> None:
    """Always naming the majority class is the best guess in accuracy, and the worst in F1
    macro."""
    truth = np.repeat([0, 1, 2], [90, 5, 5])
    found = resample_test("single_label", truth, truth, (0.9, 0.05, 0.05), {"accuracy": 1.0, "f1_macro": 1.0})
    assert found.best_guess("accuracy") == MAJORITY["single_label"]
    assert found.best_guess("f1_macro") == "guess by the labels' shares of train"


def test_the_loss_is_compared_with_predicted_chances() -> None:
    truth, predicted = one(200, 4, right=200)
    losses = np.full(200, 0.2)
    found = resample_test("single_label", truth, predicted, (0.25,) * 4, {"loss": 0.2}, losses).against_guessing("loss")
    assert found is not None
    assert found.guess_value == pytest.approx(math.log(4))
    assert (found.better, found.difference) == (1, pytest.approx(math.log(4) - 0.2))


def test_the_loss_of_label_words_is_compared_with_nothing() -> None:
    truth, predicted = one(200, 4, right=200)
    found = resample_test("single_label", truth, predicted, (0.25,) * 4, {"loss": 9.0}, np.full(200, 9.0), words=True)
    assert found.against_guessing("loss") is None


def test_labels_of_a_multi_label_task_are_guessed_one_by_one() -> None:
    truth = np.random.default_rng(1).random((400, 3)) < (0.9, 0.4, 0.1)
    found = guesses("multi_label", truth, (0.9, 0.4, 0.1))
    always = found[MAJORITY["multi_label"]].metrics["subset_accuracy"]
    assert always == pytest.approx((truth == [True, False, False]).all(axis=1).mean())
    even = found["guess of each label with even chances"].metrics
    assert even["subset_accuracy"] == pytest.approx(1 / 8)
    assert even["f1_micro"] == pytest.approx(2 * 0.5 * truth.mean() / (0.5 + truth.mean()), abs=0.01)
    assert even["loss"] == pytest.approx(math.log(2))


def test_names_become_numbers_or_marks() -> None:
    assert coded("single_label", ("a", "b|c"), [("b|c",), ("a",)]).tolist() == [1, 0]
    assert coded("multi_label", ("a", "b|c"), [("b|c", "a"), ()]).tolist() == [[True, True], [False, False]]


def test_without_predictions_only_a_share_of_rows_has_an_interval() -> None:
    found = recorded("single_label", 100, {"accuracy": 0.84, "f1_macro": 0.8}, {"accuracy": 0.11, "f1_macro": 0.02})
    assert found.interval("accuracy") == wilson(0.84, 100)
    assert found.interval("f1_macro") is None
    against = found.against_guessing("accuracy")
    assert against is not None
    assert against.better == 1
