"""The training loss beside the labels of the data, as a command line is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.plans import QUICK, faults_of, space_file
from sweep.config.schema import Config, Task
from sweep.data.labels import Label, LabelSpace
from sweep.data.splits import FoldRows, Rows, Splits
from sweep.plan.class_weights import class_weight_faults
from sweep.plan.plan import make_plan
from sweep.provenance import DataState


def faults(task: Task, labels: Sequence[Label], *configs: dict[str, Any]) -> list[str]:
    rows = Rows(("x",) * len(labels), None, tuple(labels))
    splits = Splits(LabelSpace(task, ("a", "b", "c")), rows, rows, None, DataState("", "", "", {}, ()))
    found = [Config.model_validate({"dataset": {"task": task}, "trainer": one}) for one in configs]
    return [str(fault) for fault in class_weight_faults(found, splits)]


def test_a_list_has_a_weight_for_each_label() -> None:
    assert faults("single_label", [0, 1, 2], {"class_weights": (1.0, 2.0, 3.0)}) == []
    (fault,) = faults("single_label", [0, 1, 2], *({"class_weights": (1.0, 2.0), "seed": seed} for seed in (0, 1)))
    rule = "has 2 weights, but the data has 3 labels, in this order: a, b, c; give one weight for each of them, or balanced"
    assert fault == f"trainer.class_weights: {rule}"


@pytest.mark.parametrize(
    ("trainer", "path"),
    [({"class_weights": "balanced"}, "trainer.class_weights"), ({"logit_adjustment_tau": 0.5}, "trainer.logit_adj")],
    ids=str,
)
def test_a_label_without_train_rows_has_no_share(trainer: dict[str, Any], path: str) -> None:
    (fault,) = faults("single_label", [0, 0, 2], trainer)
    assert fault.startswith(path) and "these labels have no train row: b;" in fault
    (fault,) = faults("multi_label", [(1, 0, 1), (0, 0, 1)], trainer)
    assert fault.startswith(path) and "these labels apply to no train row, or to all: b, c;" in fault
    assert faults("multi_label", [(1, 0, 1), (0, 1, 0)], trainer) == []


def test_with_folds_the_rows_of_all_count() -> None:
    first, whole = (Rows(("x",) * len(labels), None, labels) for labels in ((0, 2), (0, 1, 2)))
    labels = LabelSpace("single_label", ("a", "b", "c"))
    splits = Splits(
        labels, first, first, None, DataState("", "", "", {}, ()), folds=(FoldRows(first, first),), whole=whole
    )
    config = Config.model_validate({"trainer": {"class_weights": "balanced"}})
    assert class_weight_faults([config], splits) == []
    assert class_weight_faults([config], replace(splits, folds=(), whole=None)) != []


def test_every_loss_can_be_searched(tmp_path: Path) -> None:
    weights = "trainer.class_weights: {choices: [none, balanced, '[1, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1]']}\n"
    gamma, tau = "trainer.focal_gamma: {low: 0.0, high: 3.0}\n", "trainer.logit_adjustment_tau: {low: 0.0, high: 1.5}\n"
    plan = make_plan([QUICK, space_file(tmp_path, weights + gamma + tau)])
    assert {corner.trainer.class_weights for corner in plan.corners} >= {"none", "balanced"}
    trial = plan.trial(0, {"trainer.class_weights": str([1.0] * 13 + [4.0]), "trainer.focal_gamma": 1.5})
    assert trial.settings.trainer.class_weights == (*(1.0,) * 13, 4.0)
    assert trial.settings.trainer.focal_gamma == 1.5


def test_a_choice_of_the_wrong_length_is_named(tmp_path: Path) -> None:
    space = space_file(tmp_path, "trainer.class_weights: {choices: [none, '[1, 2]']}\n")
    assert "has 2 weights, but the data has 14" in faults_of(QUICK, space)["trainer.class_weights"]


def test_label_words_have_no_focal_loss_and_no_adjustment() -> None:
    found = faults_of(QUICK, "prompt=label", "trainer.focal_gamma=2", "trainer.logit_adjustment_tau=1")
    assert {"trainer.focal_gamma", "trainer.logit_adjustment_tau"} <= found.keys()


def test_the_calibration_is_that_of_the_study(tmp_path: Path) -> None:
    space = space_file(tmp_path, "trainer.calibration: {choices: [none, temperature]}\n")
    assert "cannot be searched" in faults_of(QUICK, space)["trainer.calibration"]


def test_two_corrections_at_once_are_noted() -> None:
    both = make_plan([QUICK, "trainer.class_weights=balanced", "trainer.logit_adjustment_tau=1"])
    assert [note for note in both.notes if "both together for more than that" in note]
    one = make_plan([QUICK, "trainer.class_weights=balanced"])
    assert not [note for note in one.notes if "both together" in note]
