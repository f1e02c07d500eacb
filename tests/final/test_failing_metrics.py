"""Metrics of a user's own that fail, in whole studies: nothing else is lost."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import pytest

from support import own_metrics
from support.program import final, run
from support.tiny import tiny_bert
from sweep.records.store import Store
from sweep.records.trial import Completed

ENGINES = ["trainer", pytest.param("packed", marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


def small(model: Path, folder: Path, engine: str) -> list[str]:
    """Overrides of a study of one trial with two evaluations."""
    return [
        f"model.path={model}", f"run_dir={folder / 'run'}", "tracker=none", "study.space=null", "study.pruner=none",
        "study.n_trials=1", "trainer.num_train_epochs=2", "trainer.eval_strategy=epoch", f"engine={engine}",
    ]  # fmt: skip


def helpdesk(model: Path, folder: Path, engine: str) -> list[str]:
    rows = ["dataset.max_train_samples=24", "dataset.max_eval_samples=14", "dataset.max_test_samples=14"]
    return ["+experiment=quickstart", *small(model, folder, engine), *rows]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_metric_that_fails_after_the_plan_is_nan_in_evaluations_and_missing_in_the_test_scores(
    engine: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """In the trial, in the training with another seed and in the retraining."""
    with own_metrics.module(tmp_path, monkeypatch, failing=range(2, 99)), caplog.at_level(logging.WARNING):
        asked = ["dataset.metrics=[sometimes.counted,sometimes.rows]", "study.confirm_seeds=2"]
        assert run(monkeypatch, *helpdesk(model, tmp_path, engine), *asked) == 0
    record, store = final(tmp_path), Store(tmp_path / "run")
    repeat = store.repeat(record.number, 1)
    assert repeat is not None and repeat.best is not None
    for point in (*record.trial_evals, *record.retrain_evals, repeat.best):
        assert math.isnan(point.metrics["eval/counted"]) and point.metrics["eval/rows"] == 14
    assert record.test["test/rows"] == 14 and "test/counted" not in record.test
    told = [line for line in caplog.messages if "sometimes.counted" in line]
    assert len(told) == 1 and told[0].endswith("; eval/counted is NaN where this happens")
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note:") and "counted" in line]
    assert len(said) == 1 and said[0].endswith("; so there is no test/counted")


def test_a_trial_is_scored_by_the_evaluations_in_which_the_metric_could_be_computed(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The calls: in the plan, two of the trial, two of its retraining, one on the test rows."""
    with own_metrics.module(tmp_path, monkeypatch, failing=(2, 5, 6)):
        asked = ["dataset.metrics=[sometimes.counted]", "study.metric=eval/counted", "study.direction=maximize"]
        assert run(monkeypatch, *helpdesk(model, tmp_path, "trainer"), *asked, report=True) == 0
    record = final(tmp_path)
    (trial,) = Store(tmp_path / "run").trials()
    assert isinstance(trial.outcome, Completed)
    assert (trial.outcome.best.index, record.trial_best.index, record.retrain_best.index) == (2, 2, 1)
    assert "test/counted" not in record.test and "test/accuracy" in record.test
    assert "counted" in (tmp_path / "run" / "report.md").read_text()


def test_a_winner_that_could_not_be_scored_is_retrained_by_the_same_command(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Such as where a file was missing that the metric reads."""
    asked = [*helpdesk(model, tmp_path, "trainer"), "dataset.metrics=[sometimes.counted]", "study.metric=eval/counted"]
    with own_metrics.module(tmp_path, monkeypatch, failing=(4, 5)):
        assert run(monkeypatch, *asked) == 2
    said = capsys.readouterr().err
    assert "the winner could not be retrained: diverged: eval/counted is no finite number in any evaluation" in said
    with own_metrics.module(tmp_path, monkeypatch):
        assert run(monkeypatch, *asked) == 0
    assert final(tmp_path).test["test/counted"] == 0.25


@pytest.mark.parametrize("engine", ENGINES)
def test_a_metric_that_fails_at_tuned_thresholds_alone_loses_no_other_score(
    engine: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("lost", "fee", "card", "top up", "transfer", "pin")
    for split, count in (("train", 30), ("held", 22), ("test", 24)):
        texts = [f"my {words[i % 6]} {words[(i * 5 + i // 6) % 6]} {words[(i // 2) % 6]}" for i in range(count)]
        lines = [f"{text},{int('lost' in text)},{int('fee' in text)}" for text in texts]
        (tmp_path / f"{split}.csv").write_text("\n".join(["text,lost,fee", *lines]) + "\n")
    options = [
        "dataset=custom", f"dataset.path={tmp_path}", "dataset.task=multi_label", "dataset.label_columns=[lost,fee]",
        "dataset.validation_split=held", "model=custom", "study.metric=eval/f1_macro", "adapter=lora",
        "trainer.decision_threshold=tuned", "dataset.metrics=[sometimes.Few,sometimes.rows]",
        "optimizer.learning_rate=0.02",
    ]  # fmt: skip
    with own_metrics.module(tmp_path, monkeypatch):
        assert run(monkeypatch, *options, *small(model, tmp_path, engine)) == 0
    record, said = final(tmp_path), capsys.readouterr().err
    assert math.isnan(record.tuned["eval/Few"]) and record.tuned["eval/rows"] == 22
    assert "test/Few" not in record.test and record.test["test/rows"] == 24
    assert "test/Few" in record.untuned and "eval/Few" in record.retrain_best.metrics
    assert said.count("so there is no eval/Few with the tuned thresholds") == 1
    assert said.count("so there is no test/Few\n") == 1
