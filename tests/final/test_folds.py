"""A study of folds as its user sees it: scored by their mean, and trained on all train rows at the
end."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from support.program import final
from support.program import run as program
from support.tiny import tiny_bert
from support.trials import make_plan
from sweep.analysis.facts import read
from sweep.analysis.study import analyse
from sweep.config.schema import DatasetConfig
from sweep.data.labels import LabelSpace
from sweep.data.splits import FoldRows, Rows, Splits, load_splits
from sweep.final.reading import baselines
from sweep.final.retrain import retrain_plan
from sweep.provenance import DataState
from sweep.records.store import Store
from sweep.records.trial import Completed, EvalPoint
from sweep.report.write import document

ROWS, FOLDS = 50, 3


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.mark.slow
def test_the_winner_of_folds_is_trained_on_all_rows_and_tested_once(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    command = (
        "+experiment=quickstart", f"model.path={model}", f"run_dir={folder}", "tracker=none", "adapter=lora",
        "study.space=null", "study.n_trials=1", f"dataset.folds={FOLDS}", "dataset.stratify=auto", "trainer.num_train_epochs=1",
        f"dataset.max_train_samples={ROWS}", "dataset.max_test_samples=28", "trainer.calibration=temperature",
    )  # fmt: skip
    assert program(monkeypatch, *command) == 0
    store, made = Store(folder), final(tmp_path)
    (record,) = store.trials()
    assert isinstance(record.outcome, Completed) and record.outcome.cost.engine == "packed"
    scores = [record.outcome.best.metrics[f"eval/fold/{fold}/accuracy"] for fold in range(1, FOLDS + 1)]
    assert record.outcome.best.metrics["eval/accuracy"] == pytest.approx(sum(scores) / FOLDS)
    assert made.refit is not None and made.refit.rows == ROWS and made.test_readings == 1
    assert made.validation["eval/accuracy"] == record.outcome.best.metrics["eval/accuracy"]
    for trial, again in zip(made.trial_evals, made.retrain_evals, strict=True):
        assert trial.metrics["eval/fold/1/accuracy"] == pytest.approx(again.metrics["eval/accuracy"], abs=0.1)
    assert (lock := store.lock()) is not None
    assert [sum(one) for one in lock.data.division.folds] == [ROWS] * FOLDS
    assert lock.data.rows["train"] == lock.data.rows["validation"] == ROWS == sum(lock.data.label_rows["train"])
    held_out = read(store).out_of_fold
    right = sum(row.right for row in held_out)
    weighed = sum(score * rows for score, (_, rows) in zip(scores, lock.data.division.folds, strict=True))
    assert len(held_out) == ROWS and right == pytest.approx(weighed)
    assert right == sum(counts[label] for label, counts in enumerate(made.out_of_fold))
    assert made.calibration is not None and (made.calibration.rows, made.calibration.folds) == (ROWS, FOLDS)
    report = document(analyse(read(store)), ())
    assert "On the train rows, out of fold" in report and "those of all folds, each scored by the fold" in report
    assert f"mean over {FOLDS} folds" in report and "Trained on all train rows" in report and "± " in report
    assert "folds" in json.loads((folder / "lock.json").read_text())["data"]["division"]


def test_guessing_is_scored_by_the_mean_over_the_folds(tmp_path: Path) -> None:
    rows = [("a", "x")] * 6 + [("b", "y")] * 3
    (tmp_path / "train.csv").write_text(
        "text,label\n" + "".join(f"{text}{i},{name}\n" for i, (text, name) in enumerate(rows))
    )
    splits = load_splits(DatasetConfig(path=str(tmp_path), folds=2, stratify="auto", test_split=None))
    each = [fold.validation.labels.count(0) / len(fold.validation) for fold in splits.folds]
    assert each[0] != each[1]
    assert baselines(splits, splits.train)["eval/accuracy"] == pytest.approx(sum(each) / 2)


def test_guessing_on_test_goes_by_all_train_rows() -> None:
    first, whole, test = (Rows(("x",) * len(labels), None, labels) for labels in ((1,), (0, 0, 1), (0, 0)))
    splits = Splits(
        LabelSpace("single_label", ("a", "b")), first, first, None, DataState("", "", "", {}, ()),
        folds=(FoldRows(first, first),), whole=whole,
    )  # fmt: skip
    assert baselines(splits, test)["test/accuracy"] == 1


def test_the_retraining_of_a_fold_ends_where_the_trial_ended() -> None:
    plan = make_plan(Path("base"), trainer={"early_stopping_patience": 1, "early_stopping_threshold": 0.1})
    record: Any = SimpleNamespace(outcome=SimpleNamespace(evals=(EvalPoint(1, 3, 1.0, {}),)))
    folded, plain = (SimpleNamespace(plan=SimpleNamespace(splits=SimpleNamespace(folds=folds))) for folds in ((1,), ()))
    again = retrain_plan(folded, plan, record)  # type: ignore[arg-type]
    assert again.total_steps == 3 != plan.total_steps and again.config.trainer.early_stopping_patience is None
    assert retrain_plan(plain, plan, record) is plan  # type: ignore[arg-type]
