from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, balanced_accuracy_score, brier_score_loss, f1_score, roc_auc_score

from sweep.config.extra_metrics import EXTRA_BY_TASK, OF_PROBABILITIES
from sweep.engine.evaluation import Predictions, measure
from sweep.engine.extra_metrics import Evaluated, extra_values

NAMES = ("no", "yes, or so/perhaps", "never")
CHANCES = np.array([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3], [0.1, 0.6, 0.3], [0.3, 0.3, 0.4], [0.8, 0.1, 0.1]])
TRUTH = np.array([0, 1, 1, 2, 1])
SEVERAL = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 0, 0]])


def one(asked: str, truth: np.ndarray = TRUTH, chances: np.ndarray = CHANCES) -> float:
    names = NAMES[: chances.shape[1]]
    rows = Evaluated("single_label", names, truth, chances.argmax(axis=1), chances)
    return extra_values([asked], rows)[asked]


def several(asked: str, truth: np.ndarray = SEVERAL) -> float:
    rows = Evaluated("multi_label", NAMES, truth, (CHANCES >= 0.5).astype(np.int64), CHANCES)
    return extra_values([asked], rows)[asked]


def test_values_of_many_labels_by_hand_and_by_scikit_learn() -> None:
    marks = np.eye(3)[TRUTH]
    assert one("balanced_accuracy") == pytest.approx((1 + 2 / 3 + 1) / 3)
    assert one("balanced_accuracy") == pytest.approx(balanced_accuracy_score(TRUTH, CHANCES.argmax(axis=1)))
    assert one("f1/yes, or so/perhaps") == pytest.approx(4 / 5)
    assert one("mcc") == pytest.approx((5 * 4 - (1 * 2 + 3 * 2 + 1 * 1)) / math.sqrt((25 - 9) * (25 - 11)))
    assert one("auroc_macro") == pytest.approx(roc_auc_score(TRUTH, CHANCES, multi_class="ovr"))
    assert one("auroc_micro") == pytest.approx(roc_auc_score(marks, CHANCES, average="micro"))
    assert one("average_precision_macro") == pytest.approx(average_precision_score(marks, CHANCES, average="macro"))
    assert one("average_precision_micro") == pytest.approx(average_precision_score(marks, CHANCES, average="micro"))
    assert one("log_loss") == pytest.approx(-np.log([0.7, 0.5, 0.6, 0.4, 0.1]).mean())
    assert one("brier") == pytest.approx(np.square(CHANCES - marks).sum(axis=1).mean())
    assert one("brier") == pytest.approx(brier_score_loss(TRUTH, CHANCES, labels=[0, 1, 2]))
    assert one("ece") == pytest.approx((0.3 + 0.5 + 0.4 + 0.6 + 0.8) / 5)  # each row in a bin of its own


def test_two_labels_have_the_values_of_a_binary_task() -> None:
    chances, truth = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3], [0.2, 0.8]]), np.array([0, 1, 1, 0])
    assert one("auroc_macro", truth, chances) == pytest.approx(roc_auc_score(truth, chances[:, 1]))
    assert one("brier", truth, chances) == pytest.approx(brier_score_loss(truth, chances[:, 1]))
    assert one("f1/no", truth, chances) == pytest.approx(1 / 2)


def test_values_of_a_task_with_several_labels_a_row() -> None:
    for name in ("auroc", "average_precision"):
        score = roc_auc_score if name == "auroc" else average_precision_score
        for average in ("macro", "micro"):
            assert several(f"{name}_{average}") == pytest.approx(score(SEVERAL, CHANCES, average=average))
    truth = SEVERAL == 1
    assert several("log_loss") == pytest.approx(-np.log(np.where(truth, CHANCES, 1 - CHANCES)).mean())
    assert several("brier") == pytest.approx(np.square(CHANCES - SEVERAL).mean())
    assert several("f1/no") == pytest.approx(f1_score(SEVERAL[:, 0], CHANCES[:, 0] >= 0.5))
    assert 0 < several("ece") < 1


def test_a_label_without_a_row_is_left_out_of_averages() -> None:
    truth = np.array([0, 1, 1, 0, 1])
    both = [roc_auc_score(truth == label, CHANCES[:, label]) for label in (0, 1)]
    assert one("auroc_macro", truth) == pytest.approx(np.mean(both))
    assert one("average_precision_macro", truth) == pytest.approx(
        np.mean([average_precision_score(truth == label, CHANCES[:, label]) for label in (0, 1)])
    )
    assert one("f1/never", truth) == 0.0
    assert several("auroc_macro", np.where([True, True, False], SEVERAL, 0)) == pytest.approx(
        np.mean([roc_auc_score(SEVERAL[:, label], CHANCES[:, label]) for label in (0, 1)])
    )


@pytest.mark.parametrize("name", EXTRA_BY_TASK["single_label"])
def test_one_label_alone_and_one_prediction_alone_give_a_number_or_nan(name: str) -> None:
    alone, same = np.zeros(5, dtype=np.int64), np.tile([0.8, 0.1, 0.1], (5, 1))
    undefined = name == "auroc_macro"
    assert math.isnan(one(name, alone)) is undefined and math.isnan(one(name, alone, same)) is undefined
    assert math.isfinite(one(name, TRUTH, same))
    if name == "mcc":
        assert one(name, TRUTH, same) == one(name, alone, same) == 0.0


@pytest.mark.parametrize("name", EXTRA_BY_TASK["multi_label"])
def test_rows_without_any_label_give_a_number_or_nan(name: str) -> None:
    undefined = name.startswith(("auroc", "average_precision"))
    assert math.isnan(several(name, np.zeros_like(SEVERAL))) is undefined


@pytest.mark.parametrize("name", EXTRA_BY_TASK["single_label"])
def test_probabilities_that_are_no_numbers_have_no_metric(name: str) -> None:
    broken = np.vstack([CHANCES[:4], [[math.nan] * 3]])
    assert math.isnan(one(name, chances=broken)) == (name in OF_PROBABILITIES)


def test_decisions_alone_have_no_metric_of_probabilities() -> None:
    rows = Evaluated("single_label", NAMES, TRUTH, np.zeros_like(TRUTH))
    assert set(extra_values(["mcc", "ece", "f1/no"], rows)) == {"mcc", "f1/no"}


def test_an_evaluation_has_them_in_the_order_in_which_they_were_asked_for() -> None:
    found = Predictions(np.log(CHANCES).astype(np.float32), TRUTH, loss=0.5, seconds=0.0)
    measured = measure("single_label", found, "test", own=("f1/never", "mcc", "ece"), labels=NAMES).values
    assert list(measured)[-3:] == ["test/f1/never", "test/mcc", "test/ece"]
    assert measured["test/f1/never"] == 1.0 and measured["test/ece"] == pytest.approx(one("ece"))
