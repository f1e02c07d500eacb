"""Rules of one and of two objectives, and what a plan says of metrics of one label."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import toys
from support.plans import faults_of
from sweep.errors import UserError

QUICK = ("+experiment=quickstart", "tracker=none")


def test_a_list_of_two_metrics_makes_two_objectives(tmp_path: Path) -> None:
    study = toys.plan(tmp_path, "study.metric=[eval/f1_macro,cost/seconds]", "study.choose_within=0.01").config.study
    assert (study.metric, study.second_metric) == ("eval/f1_macro", "cost/seconds")
    assert study.directions == ("maximize", "minimize") and study.objective.within == 0.01
    assert study.objective.second == study.second


@pytest.mark.parametrize(
    ("overrides", "path", "says"),
    [
        (["study.metric=[eval/f1_macro,cost/second]"], "study.second_metric", "(did you mean cost/seconds?)"),
        (["study.metric=[cost/seconds,eval/f1_macro]"], "study.metric", "study.metric=[eval/…,cost/seconds]"),
        (["study.metric=[eval/f1_macro,eval/f1_macro]"], "study.second_metric", "name another one, or none"),
        (["study.metric=[eval/f1_macro,test/f1_macro]"], "study.second_metric", "is of the test split"),
        (["study.metric=[eval/loss,eval/ece,eval/mcc]"], "study.metric", "must be one value or a list of two"),
        (["study.metric=[eval/f1_macro,eval/ece]", "study.direction=[maximize,maximize]"],
         "study.second_direction", "type study.second_direction=minimize"),
        (["study.metric=[eval/f1_macro,cost/seconds]", "study.second_direction=maximize"],
         "study.second_direction", "cost/seconds is better when lower"),
        (["study.metric=[eval/f1_macro,cost/seconds]", "study.sampler=cmaes"], "study.sampler", "use tpe, gp, qmc"),
        (["study.metric=[eval/f1_macro,cost/seconds]", "study.pruner=median"], "study.pruner", "use racing or none"),
        (["study.choose_within=0.1"], "study.choose_within", "counts only with two objectives"),
        (["study.second_direction=minimize"], "study.second_direction", "there is no study.second_metric"),
        (["study.metric=eval/log_loss"], "study.direction", "type study.direction=minimize"),
        (["study.metric=eval/auroc_makro"], "study.metric", "did you mean eval/auroc_macro?"),
        (["dataset.metrics=[auroc]"], "dataset.metrics", "or the dotted path of a metric of your own"),
        (["dataset.metrics=[ece,ece]"], "dataset.metrics", "there is a metric ece already; name it once"),
    ],
)  # fmt: skip
def test_a_fault_names_the_key_and_what_to_type(overrides: list[str], path: str, says: str) -> None:
    assert says in faults_of(*QUICK, *overrides)[path]


def test_metrics_of_single_labels_are_none_of_a_task_with_several(tmp_path: Path) -> None:
    found = faults_of(*QUICK, "dataset.task=multi_label", "study.metric=eval/mcc", "dataset.metrics=[mcc]")
    assert "but a multi_label task has" in found["study.metric"]
    assert "of the extra metrics a multi_label task has: auroc_macro" in found["dataset.metrics"]


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Overrides for a data set of a few rows, with a label of spaces, slashes and dots, and one
    that no validation row has."""
    for split, labels in {
        "train": ["a", "b/c, v1.0 x", "rare"],
        "validation": ["a", "b/c, v1.0 x"],
        "test": ["a"],
    }.items():
        rows = "".join(f'text {number} {split},"{label}"\n' for number in range(4) for label in labels)
        (tmp_path / f"{split}.csv").write_text(f"text,label\n{rows}")
    return [f"dataset.path={tmp_path}", "dataset.validation_split=validation", "dataset.test_split=test"]


def test_a_label_with_slashes_is_searched_for_by_its_f1(files: list[str], tmp_path: Path) -> None:
    made = toys.plan(tmp_path, *files, 'study.metric="eval/f1/b/c, v1.0 x"')
    assert made.config.study.metric == "eval/f1/b/c, v1.0 x"


def test_an_unknown_label_is_reported_with_the_known_ones_and_one_without_rows(
    files: list[str], tmp_path: Path
) -> None:
    with pytest.raises(UserError) as refused:
        toys.plan(tmp_path, *files, "study.metric=[eval/f1/b/c v1.0 x,eval/f1/rare]", "dataset.metrics=[f1/d]")
    found = {fault.path: fault.message for fault in refused.value.faults}
    assert (
        "there is no label 'b/c v1.0 x' (did you mean b/c, v1.0 x?); the labels are: a, b/c, v1.0 x, rare"
        in (found["study.metric"])
    )
    assert "no validation row has the label 'rare'" in found["study.second_metric"]
    assert "there is no label 'd'" in found["dataset.metrics"]
