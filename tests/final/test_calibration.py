"""`trainer.calibration=temperature` as its user sees it: the winner's probabilities are calibrated
in its test scores, its predictions and its folder."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import sweep
from support.program import final
from support.program import run as program
from support.tiny import tiny_bert
from sweep.config.schema import Config
from sweep.data.labels import LabelSpace
from sweep.engine.evaluation import Predictions
from sweep.engine.metrics import decide
from sweep.engine.temperature import scaled
from sweep.final.reading import decisions
from sweep.model.artifact import temperature
from sweep.records.store import Store


def run(folder: Path, patch: pytest.MonkeyPatch, model: Path, *more: str) -> int:
    return program(
        patch, "+experiment=quickstart", f"model.path={model}", f"run_dir={folder / 'run'}", "tracker=none",
        "study.space=null", "study.n_trials=1", "study.pruner=none", "trainer.num_train_epochs=2", "adapter=head",
        "dataset.max_train_samples=48", "dataset.max_eval_samples=27", "dataset.max_test_samples=28",
        "trainer.class_weights=balanced", "optimizer.learning_rate=0.05", *more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same study, without and with calibration."""
    root = tmp_path_factory.mktemp("calibrated")
    model = tiny_bert(root / "bert")
    for name in ("none", "temperature"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SWEEP_CACHE", str(root / "cache"))
            assert run(root / name, patch, model, f"trainer.calibration={name}") == 0
    return root / "none", root / "temperature"


def predictions(folder: Path) -> list[dict[str, str]]:
    with (folder / "run" / "final" / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_trials_are_scored_as_without_it(both: tuple[Path, Path]) -> None:
    plain, calibrated = (Store(folder / "run").trials()[0] for folder in both)
    assert plain.outcome.evals == calibrated.outcome.evals
    assert final(both[0]).retrain_evals == final(both[1]).retrain_evals


def test_the_test_split_is_read_with_calibrated_probabilities(both: tuple[Path, Path]) -> None:
    plain, record = (final(folder) for folder in both)
    assert plain.calibration is None
    found = record.calibration
    assert found is not None and found.rows == 27 and found.temperature != 1
    assert found.test_before is not None and found.test_after is not None
    assert found.test_before.loss == pytest.approx(plain.test["test/loss"])
    assert found.test_after.loss == pytest.approx(record.test["test/loss"])
    assert found.before.loss == pytest.approx(record.retrain_best.metrics["eval/loss"])
    assert record.test["test/accuracy"] == plain.test["test/accuracy"] and record.confusion == plain.confusion
    assert np.mean([float(row["loss"]) for row in predictions(both[1])]) == pytest.approx(record.test["test/loss"])


def test_the_saved_model_gives_the_probabilities_of_the_test(both: tuple[Path, Path]) -> None:
    record, rows = final(both[1]), predictions(both[1])
    assert record.calibration is not None
    assert temperature(both[1] / "run" / "final" / "model") == record.calibration.temperature
    found = sweep.load(both[1] / "run").predict([row["text"] for row in rows])
    assert [one.label for one in found] == [row["predicted"] for row in rows]
    assert [one.probability for one in found] == pytest.approx([float(row["confidence"]) for row in rows], abs=1e-5)
    assert [row["confidence"] for row in rows] != [row["confidence"] for row in predictions(both[0])]


def test_a_fixed_threshold_decides_as_in_the_search() -> None:
    config = Config.model_validate({
        "dataset": {"task": "multi_label"}, "trainer": {"decision_threshold": 0.3, "calibration": "temperature"},
    })  # fmt: skip
    draw = np.random.default_rng(0)
    scores = (3 * draw.normal(size=(40, 2))).astype(np.float32)
    labels = (scores + 3 * draw.normal(size=(40, 2)) > 0).astype(np.int64)
    given = Predictions(scores, labels, loss=0.5, seconds=0.0)
    found = decisions(LabelSpace("multi_label", ("a", "b")), config, lambda: [given])
    assert found.calibration is not None and found.thresholds is not None
    assert abs(found.calibration.temperature - 1) > 0.1 and 0.3 != found.thresholds[0] == found.thresholds[1]
    calibrated = scaled(scores, found.calibration.temperature)
    assert (decide("multi_label", calibrated, found.cuts) == decide("multi_label", scores, 0.3)).all()
    assert (decide("multi_label", calibrated, 0.3) != decide("multi_label", scores, 0.3)).any()
