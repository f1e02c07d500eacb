"""Rules on how rows are divided."""

from __future__ import annotations

from typing import Any

import pytest

from sweep.config.schema import Config
from sweep.plan.checks import check


def faults(**sections: dict[str, Any]) -> dict[str, str]:
    config = Config.model_validate(
        {"model": {"path": "m"}, **sections, "dataset": {"path": "d", **sections["dataset"]}}
    )
    return {fault.path: fault.message for fault in check(config)}


@pytest.mark.parametrize(
    ("sections", "path", "rule"),
    [
        ({"dataset": {"group_column": "a", "time_column": "b"}}, "dataset.time_column", "by one column alone"),
        (
            {"dataset": {"group_column": "a", "stratify": True}},
            "dataset.stratify",
            "dataset.group_column=a keeps groups",
        ),
        ({"dataset": {"time_column": "b", "stratify": True}}, "dataset.stratify", "dataset.time_column=b holds out"),
        (
            {"dataset": {"folds": 5, "validation_split": "dev"}},
            "dataset.validation_split",
            "each fold scores on rows of train",
        ),
        ({"dataset": {"folds": 5}, "trainer": {"save_newest": True}}, "trainer.save_newest", "none is kept"),
        (
            {"dataset": {"folds": 5}, "optimizer": {"lr_scheduler_type": "reduce_lr_on_plateau"}},
            "optimizer.lr_scheduler_type",
            "the winner is trained on all rows",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(sections: dict[str, Any], path: str, rule: str) -> None:
    assert rule in faults(**sections)[path]


def test_one_fold_and_one_column_are_allowed() -> None:
    dataset = {"folds": 1, "validation_split": "dev", "group_column": "a"}
    assert not [path for path in faults(dataset=dataset) if path.startswith("dataset.")]
    assert not [path for path in faults(dataset={"folds": 5, "time_column": "b"}) if path.startswith("dataset.")]


def test_folds_have_thresholds_a_temperature_and_a_share_of_rows_for_the_test() -> None:
    dataset = {"folds": 5, "task": "multi_label", "test_split": None, "test_ratio": 0.5}
    found = faults(dataset=dataset, trainer={"decision_threshold": "tuned", "calibration": "temperature"})
    assert not found.keys() & {"dataset.test_ratio", "trainer.decision_threshold", "trainer.calibration"}
