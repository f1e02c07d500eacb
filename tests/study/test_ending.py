"""The end of a study as its user sees it: methods compared, thresholds tuned, nothing done
twice."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from torch import tensor

from support.program import run
from support.tiny import tiny_bert
from sweep.model.artifact import load, thresholds
from sweep.records.final import FinalRecord
from sweep.records.store import Store


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


def numbers(store: Store) -> dict[str, int]:
    return {str(path.relative_to(store.root)): record.number for path, record in store.finals().items()}


def test_a_group_run_ends_with_a_tested_model_for_each_method(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(
        "adapter: {choices: [lora, head]}\noptimizer.learning_rate: {low: 1.0e-3, high: 1.0e-1, log: true}\n"
    )
    store = Store(tmp_path / "run")
    command = [
        "+experiment=quickstart", f"model.path={model}", f"run_dir={store.root}", f"study.space={space}",
        "dataset.max_train_samples=32", "dataset.max_eval_samples=28", "dataset.max_test_samples=28", "tracker=none",
        "trainer.num_train_epochs=1", "study.pruner=none", "study.compare_by=adapter",
    ]  # fmt: skip
    assert run(monkeypatch, *command, "study.n_trials=2") == 0
    first = numbers(store)
    assert set(first) - {"final"} < {"methods/lora", "methods/head"} and set(first.values()) == {0, 1}
    for folder, record in store.finals().items():
        assert record.test_rows == 28 and record.test_readings == 1
        assert {path.name for path in folder.iterdir()} == {
            "record.json", "events.jsonl", "predictions.csv", "confusion.csv", "model",
        }  # fmt: skip
        load(folder / "model")

    # Once more: nothing is trained or read.
    capsys.readouterr()
    assert run(monkeypatch, *command, "study.n_trials=2") == 0
    assert capsys.readouterr().err.count("the test split is not read again") == 2
    assert numbers(store) == first

    # More trials and fresh seeds: each method's best has the best mean, and what had to be read again is counted once.
    more = ("study.n_trials=4", "study.confirm_seeds=2", "study.confirm_top=1")
    assert run(monkeypatch, *command, *more) == 0
    assert capsys.readouterr().err.count("fresh seeds: trial ") == 2
    again = numbers(store)
    assert set(again) - {"final"} < {"methods/lora", "methods/head"}
    trained_again = set(again.values()) - set(first.values())
    for record in store.finals().values():
        assert record.test_readings == 1 + bool(trained_again)
        assert record.confirmation is not None and record.confirmation.candidates[0].number == record.number


def test_tuned_thresholds_decide_on_the_test_split_and_are_kept(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = _several_labels(model, tmp_path, monkeypatch, "tuned")
    folder = tmp_path / "run" / "final"
    assert record.thresholds == thresholds(folder / "model") and record.thresholds != (0.5, 0.5)
    assert record.untuned["test/f1_macro"] != record.test["test/f1_macro"]
    # Chosen to make them good, so never worse than at 0.5, with which the trial was scored.
    assert record.tuned["eval/f1_macro"] >= record.retrain_best.metrics["eval/f1_macro"]
    assert record.trial_best == record.retrain_best  # one engine, one seed, one machine

    rows = list(csv.DictReader((folder / "predictions.csv").read_text().splitlines()))
    loaded, tokenizer = load(folder / "model")
    encoded = tokenizer([row["text"] for row in rows], padding=True, return_tensors="pt")
    decided = loaded(**encoded).logits.sigmoid() >= tensor(record.thresholds)
    named = ["|".join(name for name, on in zip(record.label_names, row, strict=True) if on) for row in decided.tolist()]
    assert [row["predicted"] for row in rows] == named
    assert sum(positive for _, _, _, positive in record.confusion) == sum(
        name in row["label"].split("|") for row in rows for name in row["predicted"].split("|") if name
    )


def test_a_fixed_threshold_decides_everywhere(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = _several_labels(model, tmp_path, monkeypatch, "0.001")
    assert record.thresholds == (0.001, 0.001) == thresholds(tmp_path / "run" / "final" / "model")
    assert (record.tuned, record.untuned) == ({}, {})
    lines = (tmp_path / "run" / "final" / "predictions.csv").read_text().splitlines()
    assert {row["predicted"] for row in csv.DictReader(lines)} == {"lost|fee"}
    assert record.retrain_best.metrics["eval/recall_macro"] == record.test["test/recall_macro"] == 1.0


def _several_labels(model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, threshold: str) -> FinalRecord:
    words = ("lost", "fee", "card", "top up", "transfer", "pin")
    for split, count in (("train", 40), ("test", 24)):
        texts = [f"my {words[i % 6]} {words[(i * 5 + i // 6) % 6]} {words[(i // 2) % 6]}" for i in range(count)]
        lines = [f"{text},{int('lost' in text)},{int('fee' in text)}" for text in texts]
        (folder / f"{split}.csv").write_text("\n".join(["text,lost,fee", *lines]) + "\n")
    arguments = [
        "dataset=custom", f"dataset.path={folder}", "dataset.task=multi_label", "dataset.label_columns=[lost,fee]",
        "model=custom", f"model.path={model}", f"run_dir={folder / 'run'}", "tracker=none", "study.space=null",
        "study.pruner=none", "study.n_trials=1", "study.metric=eval/f1_macro", "trainer.num_train_epochs=1",
        "trainer.eval_strategy=epoch", f"trainer.decision_threshold={threshold}", "engine=trainer",
    ]  # fmt: skip
    assert run(monkeypatch, *arguments) == 0
    found = Store(folder / "run").final()
    assert found is not None
    return found
