"""The rows of all folds at the end of a study: what is fitted to them, and their file."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sweep.analysis.predictions import read_predictions
from sweep.config.schema import Config
from sweep.data.splits import load_splits
from sweep.engine.metrics import score
from sweep.engine.out_of_fold import encoded
from sweep.engine.row_losses import row_losses
from sweep.engine.thresholds import tuned
from sweep.final.files import write_predictions
from sweep.final.out_of_fold import fitted_to, out_of_fold
from sweep.final.reading import Decisions, decisions
from sweep.records.store import Store

ROWS, FOLDS = 42, 3
HELD_OUT: Any = "the rows of the first fold, by the retrained model"


class Study:
    """A session, a config and a model as far as the last steps need them, and the scores of the
    rows of all folds."""

    def __init__(self, folder: Path, *, several: bool, **trainer: str) -> None:
        columns = {"task": "multi_label", "label_columns": ("joy", "fear")} if several else {}
        cells = [f"{i % 2},{int(i % 3 == 0)}" if several else "ab"[i % 2] for i in range(ROWS)]
        header = "text,joy,fear" if several else "text,label"
        (folder / "train.csv").write_text("\n".join([header, *(f"text {i},{cell}" for i, cell in enumerate(cells))]))
        dataset = {"path": str(folder), "folds": FOLDS, "test_split": None, **columns}
        self.config = Config.model_validate({"dataset": dataset, "trainer": trainer})
        self.splits, self.said = load_splits(self.config.dataset), list[str]()
        view = SimpleNamespace(say=self.said.append)
        self.session: Any = SimpleNamespace(plan=SimpleNamespace(splits=self.splits), store=Store(folder), view=view)
        self.model: Any = SimpleNamespace(validation=lambda: HELD_OUT)
        self.truth = np.concatenate([np.asarray(fold.validation.labels) for fold in self.splits.folds])
        marks = self.truth if several else np.eye(2)[self.truth]
        draw = np.random.default_rng(0).normal(size=(ROWS, 2))
        self.scores = (2.0 * (marks - 0.3) + draw).astype(np.float32)
        self.path = self.session.store.out_of_fold_path(0)
        self.path.parent.mkdir(parents=True)
        self.path.write_bytes(encoded(self.scores))

    def decide(self) -> Decisions:
        return decisions(self.splits.labels, self.config, lambda: fitted_to(self.session, self.config, 0, self.model))


def test_a_temperature_is_fitted_to_the_rows_of_all_folds(tmp_path: Path) -> None:
    study = Study(tmp_path, several=False, calibration="temperature")
    found = study.decide().calibration
    assert found is not None and (found.rows, found.folds) == (ROWS, FOLDS)
    assert found.before.loss == pytest.approx(row_losses("single_label", study.scores, study.truth).mean())


def test_thresholds_are_tuned_on_the_rows_of_all_folds_and_scored_by_their_mean(tmp_path: Path) -> None:
    study = Study(tmp_path, several=True, decision_threshold="tuned")
    found = study.decide()
    assert found.thresholds == tuned(study.scores, study.truth) != (0.5, 0.5)
    chances = 1 / (1 + np.exp(-study.scores.astype(np.float64)))
    decided = (chances >= found.thresholds).astype(np.int64)
    ends = np.cumsum([len(fold.validation) for fold in study.splits.folds])[:-1]
    parts = zip(np.split(decided, ends), np.split(study.truth, ends), strict=True)
    each = [score("multi_label", ours, truth)["f1_macro"] for ours, truth in parts]
    assert found.validation["eval/f1_macro"] == pytest.approx(np.mean(each))


def test_the_file_has_each_row_of_train_in_its_order_with_its_fold(tmp_path: Path) -> None:
    study = Study(tmp_path, several=False)
    found = out_of_fold(study.session, study.config, 0, study.decide())
    assert found is not None
    write_predictions(tmp_path / "rows.csv", found, study.splits.labels)
    rows = read_predictions(tmp_path / "rows.csv", "single_label")
    assert [row.text for row in rows] == [f"text {i}" for i in range(ROWS)]
    assert [row.index for row in rows] == [str(i) for i in range(ROWS)]
    assert [row.label[0] for row in rows] == ["ab"[i % 2] for i in range(ROWS)]
    with (tmp_path / "rows.csv").open(newline="") as file:
        by_text = {row["text"]: row["fold"] for row in csv.DictReader(file)}
    for number, fold in enumerate(study.splits.folds, start=1):
        assert {by_text[text] for text in fold.validation.texts} == {str(number)}
    wrong = sum(not row.right for row in rows)
    assert 0 < wrong == sum(study.scores.argmax(axis=1) != study.truth)
    assert sum(map(sum, found.confusion)) == ROWS and found.confusion[0][1] + found.confusion[1][0] == wrong


@pytest.mark.parametrize("data", [None, b"", b"no file of scores", encoded(np.zeros((3, 2), np.float32))])
def test_without_the_scores_the_first_fold_serves(tmp_path: Path, data: bytes | None) -> None:
    study = Study(tmp_path, several=False)
    study.path.unlink() if data is None else study.path.write_bytes(data)
    assert list(fitted_to(study.session, study.config, 0, study.model)) == [HELD_OUT] and not study.said
    assert out_of_fold(study.session, study.config, 0, Decisions(None)) is None
    assert "out_of_fold.npy" in study.said[0] and "those of the first fold" in study.said[0]
