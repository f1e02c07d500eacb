"""The labels of folds beside what weights and metrics need."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sweep.config.schema import Config, DatasetConfig, StudyConfig, Task
from sweep.data.labels import Label, LabelSpace
from sweep.data.splits import FoldRows, Rows, Splits
from sweep.plan.data import label_metric_faults, own_metric_faults
from sweep.plan.scored_labels import fold_notes, undefined_faults
from sweep.provenance import DataState


def rows(labels: Sequence[Label]) -> Rows:
    return Rows(("x",) * len(labels), None, tuple(labels))


def splits(*folds: Sequence[Label], task: Task = "single_label") -> Splits:
    """Return folds of validation rows with these labels, or one division alone."""
    each = [
        FoldRows(rows([label for other in folds if other is not fold for label in other]), rows(fold)) for fold in folds
    ]
    several = len(each) > 1
    whole = rows([label for fold in folds for label in fold]) if several else None
    return Splits(
        LabelSpace(task, ("a", "b", "c")[: 3 if task == "single_label" else 2]), each[0].train, each[0].validation,
        None, DataState("", "", "", {}, ()), folds=tuple(each) if several else (), whole=whole,
    )  # fmt: skip


def config(**sections: Any) -> Config:
    return Config.model_validate(sections)


@pytest.mark.parametrize(
    ("metric", "found", "undefined"),
    [
        ("auroc_macro", splits([0, 1], [2, 2]), True),
        ("auroc_macro", splits([0, 1], [1, 2]), False),
        ("auroc_macro", splits([1, 1]), True),
        ("auroc_micro", splits([0, 1], [2, 2]), False),
        ("average_precision_macro", splits([0, 1], [2, 2]), False),
        ("average_precision_micro", splits([(0, 1)], [(0, 0)], task="multi_label"), True),
        ("auroc_micro", splits([(0, 1)], [(1, 1)], task="multi_label"), True),
        ("f1_macro", splits([0, 1], [2, 2]), False),
    ],
)
def test_an_objective_is_defined_in_each_fold(metric: str, found: Splits, undefined: bool) -> None:
    faults = undefined_faults(StudyConfig(metric=f"eval/{metric}"), found)
    assert [fault.path for fault in faults] == ["study.metric"] * undefined
    if undefined and found.folds:
        assert "of fold 2:" in faults[0].message


def test_labels_that_a_fold_lacks_are_named_where_they_count() -> None:
    found = splits([0, 0, 1], [0, 1, 2])
    assert not list(fold_notes([config()], found))
    (note,) = fold_notes([config(), config(trainer={"class_weights": "balanced"})], found)
    assert "no train row" in note and "trainer.class_weights" in note and note.endswith(": c")
    (note,) = fold_notes([config(study={"metric": "eval/f1/c"})], found)
    assert "no validation row" in note and "'c'" in note
    assert not list(fold_notes([config(study={"metric": "eval/f1/c"})], splits([0, 1])))


def test_a_label_that_some_fold_scores_is_no_fault() -> None:
    sought = config(study={"metric": "eval/f1/c"})
    assert not label_metric_faults(sought, splits([0, 0, 1], [0, 1, 2]))
    (fault,) = label_metric_faults(sought, splits([0, 0, 1], [0, 1, 1]))
    assert "no validation row" in fault.message


def test_a_metric_of_ones_own_is_tried_on_the_rows_of_each_fold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "of_two_labels.py").write_text(
        "def spread(labels, probabilities):\n"
        "    if len(set(labels)) < 2:\n"
        "        raise ValueError('only one label')\n"
        "    return 0\n"
    )
    monkeypatch.chdir(tmp_path)
    dataset = DatasetConfig(metrics=("of_two_labels.spread",))
    assert not own_metric_faults(dataset, splits([0, 1], [1, 2]))
    (fault,) = own_metric_faults(dataset, splits([0, 1], [2, 2], [1, 1]))
    assert fault.path == "dataset.metrics" and "only one label" in fault.message
