"""Rules across the values of a config."""

from __future__ import annotations

from pathlib import Path

from support.plans import faults_of


def test_a_separator_is_for_text_cells_of_several_labels(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\na,x\nb,y\n")
    data = f"dataset.path={tmp_path}"
    named = ["dataset=custom", data, "model=custom", "model.path=nowhere"]
    plain = [*named, "dataset.test_ratio=0.5", "dataset.test_split=null"]
    found = faults_of(*plain, 'dataset.label_separator=";"')
    assert "needs dataset.task=multi_label" in found["dataset.label_separator"]
    found = faults_of(*plain, 'dataset.label_separator=";"', "dataset.task=multi_label", "dataset.label_columns=[x,y]")
    assert "columns of 0 and 1" in found["dataset.label_separator"]
    assert "a text encoding that Python knows" in faults_of(*plain, "dataset.encoding=klingon")["dataset.encoding"]
    assert "command line" in faults_of(*plain, "dataset.stratify=maybe")["dataset.stratify"]
