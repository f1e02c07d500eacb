"""`study.refit` as its user sees it: the winner trained once more on train and validation rows,
tested, and kept."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from support.program import final
from support.program import run as program
from support.tiny import tiny_bert, tiny_llama
from sweep.config.schema import Config
from sweep.config.steps import refit_steps, total_steps
from sweep.engine import evaluation, trainer
from sweep.final import finish
from sweep.model.artifact import load
from sweep.records.cost import Cost
from sweep.records.final import FinalRecord
from sweep.records.store import Store, refit_dir
from sweep.records.trial import Step

TRAIN, VALIDATION, TEST = 48, 27, 28


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture
def run(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give the command, with more overrides, and get its exit code."""

    def give(*more: str, folder: Path = tmp_path) -> int:
        return program(
            monkeypatch, "+experiment=quickstart", f"model.path={model}", f"run_dir={folder / 'run'}", "tracker=none",
            "study.space=null", "study.n_trials=1", "study.pruner=none", "engine=trainer", "trainer.num_train_epochs=2",
            f"dataset.max_train_samples={TRAIN}", f"dataset.max_eval_samples={VALIDATION}",
            f"dataset.max_test_samples={TEST}", *more,
        )  # fmt: skip

    return give


def weights(folder: Path) -> dict[str, torch.Tensor]:
    (file,) = (folder / "run" / "final" / "model").glob("*.safetensors")
    return load_file(file)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(weight, other[name]) for name, weight in one.items())


def timeless(record: FinalRecord) -> FinalRecord:
    """Without what the clock and the machine say."""
    refit = record.refit and replace(record.refit, cost=_worked(record.refit.cost))
    return replace(record, cost=_worked(record.cost), refit=refit, test_seconds=0, config=Config())


def _worked(cost: Cost) -> Cost:
    return Cost(steps=cost.steps, samples=cost.samples, flops=cost.flops, train_loss=cost.train_loss)


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[tuple[nn.Module, int]]:
    """Each model that was scored, held so that no other takes its place, with the number of
    rows."""
    seen: list[tuple[nn.Module, int]] = []

    def predict(model: nn.Module, dataset: Any, **options: Any) -> evaluation.Predictions:
        seen.append((model, len(dataset)))
        return evaluation.predict(model, dataset, **options)

    monkeypatch.setattr(trainer, "predict", predict)
    return seen


def test_the_refitted_model_is_tested_and_kept(
    run: Any, tmp_path: Path, scored: list[tuple[nn.Module, int]], opened: list[int]
) -> None:
    assert run("study.refit=true", "adapter=lora") == 0
    record, store = final(tmp_path), Store(tmp_path / "run")
    refit, config = record.refit, record.config
    assert refit is not None and refit.rows == TRAIN + VALIDATION
    assert refit.total_steps == total_steps(refit.rows, config.trainer)
    assert refit.steps == refit_steps(record.retrain_best.step, TRAIN, refit.rows, config.trainer) == refit.cost.steps
    assert refit.cost.train_loss is not None and refit.cost.eval_samples == 0 and refit.cost.seconds > 0
    assert record.retrain_evals == record.trial_evals  # the retraining is still the check of the trial
    rows = store.final_events(refit_dir(store.final_dir))
    assert rows and all(isinstance(row, Step) and row.total_steps == refit.steps for row in rows)

    # The test split is read once, by a model that has met nothing else.
    assert (opened, record.test_readings) == ([TEST], 1)
    (tested,) = [held for held, count in scored if count == TEST]
    assert [count for held, count in scored if held is tested] == [TEST]
    assert {count for _, count in scored} == {VALIDATION, TEST}

    # What was kept is what was tested.
    loaded, tokenizer = load(tmp_path / "run" / "final" / "model")
    lines = list(csv.DictReader((store.final_dir / "predictions.csv").read_text().splitlines()))
    encoded = tokenizer([line["text"] for line in lines], padding=True, return_tensors="pt")
    named = [record.label_names[label] for label in loaded(**encoded).logits.argmax(-1).tolist()]
    assert named == [line["predicted"] for line in lines]

    # The same numbers again; without a refit other weights, and a record as it ever was.
    assert run("study.refit=true", "adapter=lora", folder=tmp_path / "again") == 0
    assert same(weights(tmp_path), weights(tmp_path / "again"))
    assert timeless(final(tmp_path / "again")) == timeless(replace(record, command=final(tmp_path / "again").command))
    assert run("adapter=lora", folder=tmp_path / "plain") == 0
    plain = final(tmp_path / "plain")
    assert plain.refit is None and not (tmp_path / "plain" / "run" / "retrained").exists()
    assert (plain.retrain_evals, plain.trial_evals) == (record.retrain_evals, record.trial_evals)
    assert not same(weights(tmp_path), weights(tmp_path / "plain"))


def test_it_stops_where_the_retraining_was_best_of_the_whole_schedule(run: Any, tmp_path: Path) -> None:
    still = (
        "optimizer.learning_rate=1e-12", "optimizer.warmup_steps=0", "trainer.logging_steps=1",
        "trainer.eval_strategy=epoch",
    )  # fmt: skip
    assert run("study.refit=true", "adapter=head", "trainer.num_train_epochs=4", *still) == 0
    record, store = final(tmp_path), Store(tmp_path / "run")
    assert record.retrain_best.epoch == 1.0 and record.refit is not None  # the first of equals stays the best
    assert (record.refit.steps, record.refit.total_steps, record.refit.cost.engine) == (10, 40, "frozen")
    rates = [row.metrics["train/learning_rate"] for row in store.final_events(refit_dir(store.final_dir))]
    assert rates == pytest.approx([1e-12 * (1 - step / 40) for step in range(10)], abs=0.0)


@contextmanager
def stopped_at_the_refit(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    plan = finish.refit_plan

    def stop(*given: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return plan(*given)

    with monkeypatch.context() as patched:
        patched.setattr(finish, "refit_plan", stop)
        yield


def test_a_stop_between_the_trainings_loses_nothing(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], opened: list[int]
) -> None:
    options = ("study.refit=true", "adapter=head")
    with stopped_at_the_refit(monkeypatch):
        assert run(*options) == 130
    assert "stopped while trial 0 was refitted; the same command goes on from here" in capsys.readouterr().err
    assert (tmp_path / "run" / "retrained" / "0000" / "record.json").exists() and opened == []
    assert Store(tmp_path / "run").final() is None
    assert run(*options) == 0
    output = capsys.readouterr().err
    assert "trial 0 was retrained already; what is left is its refit" in output and "from scratch" not in output
    assert final(tmp_path).test_readings == 1 and opened == [TEST]

    assert run(*options, folder=tmp_path / "whole") == 0
    assert same(weights(tmp_path), weights(tmp_path / "whole"))
    events = [(folder / "run" / "final" / "events.jsonl").read_text() for folder in (tmp_path, tmp_path / "whole")]
    assert events[0] == events[1] and '"type": "eval"' in events[0]


def test_another_kind_is_trained_and_read_again_and_counted(
    run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("adapter=head") == 0
    plain, kept = final(tmp_path), weights(tmp_path)
    assert run("adapter=head", "study.refit=true") == 0
    output, refitted = capsys.readouterr().err, final(tmp_path)
    assert "trial 0 was retrained already; what is left is its refit" in output
    assert (plain.test_readings, refitted.test_readings) == (1, 2) and not same(kept, weights(tmp_path))
    assert refitted.retraining == plain.retraining
    assert ["study.refit=true" in record.command for record in (plain, refitted)] == [False, True]
    assert (tmp_path / "run" / "final" / "events.jsonl").read_text()

    # The same again: nothing is done.
    assert run("adapter=head", "study.refit=true") == 0
    assert "trial 0 was retrained, refitted and tested already" in capsys.readouterr().err
    assert final(tmp_path) == refitted

    assert run("adapter=head") == 0
    back = final(tmp_path)
    assert (back.refit, back.test_readings) == (None, 3)
    assert "study.refit" not in back.command
    assert same(kept, weights(tmp_path)) and back.test == plain.test
    assert not refit_dir(tmp_path / "run" / "final").exists()


def test_each_method_of_a_group_run_is_refitted(run: Any, tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(
        "adapter: {choices: [ia3, head]}\noptimizer.learning_rate: {low: 1.0e-3, high: 1.0e-1, log: true}\n"
    )
    group = (f"study.space={space}", "study.compare_by=adapter", "study.n_trials=2", "trainer.num_train_epochs=1")
    assert run(*group, "study.refit=true", "study.confirm_seeds=2", "study.confirm_top=1") == 0
    records = Store(tmp_path / "run").finals().values()
    assert len(records) == 2
    for record in records:
        assert record.refit is not None and record.refit.rows == TRAIN + VALIDATION and record.test_readings == 1
        assert record.confirmation is not None


@pytest.mark.parametrize(
    ("loading", "expected"),
    [
        (True, "trial 0 could not be refitted: out of memory"),
        (False, "the winner could not be refitted: diverged: training loss is nan at step 1 of 20"),
    ],
    ids=["out of memory", "diverged"],
)
def test_a_refit_that_fails_is_reported_and_reads_no_test_row(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], opened: list[int],
    loading: bool, expected: str,
) -> None:  # fmt: skip
    plan = finish.refit_plan

    def break_(*given: Any) -> Any:
        """Break training from the refit on: it runs out of memory while loading, or its loss is
        NaN."""

        def fail(*_: Any, **__: Any) -> float:
            raise MemoryError

        if loading:
            monkeypatch.setattr(trainer, "set_first_weights", fail)
        monkeypatch.setattr(trainer, "training_loss", lambda _: lambda found, *_, **__: found.logits.sum() * math.nan)
        return plan(*given)

    monkeypatch.setattr(finish, "refit_plan", break_)
    assert run("study.refit=true", "adapter=lora") == 2
    assert expected in capsys.readouterr().err
    assert opened == [] and not (tmp_path / "run" / "final").exists()


def test_the_mock_backend_gets_a_run_of_its_own(run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("study.refit=true", "adapter=head", "tracker=mock") == 0
    assert "1 trial run, 1 final, 1 refit, 1 study" in capsys.readouterr().err
    kept = [json.loads(path.read_text()) for path in (tmp_path / "run" / "wandb-mock").rglob("*.json")]
    text = json.dumps(kept)
    assert "quickstart-refit" in text and "test/accuracy" in text


def test_a_dry_run_tells_its_rows_and_steps(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("study.refit=true", "study.dry_run=true") == 0
    assert "refitted at the end: 1, on 75 train and validation rows, up to 20 steps" in capsys.readouterr().out


def test_tuned_thresholds_are_those_of_the_retraining(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("lost", "fee", "card", "top up", "transfer", "pin")
    for split, count in (("train", 40), ("held", 22), ("test", 24)):
        texts = [f"my {words[i % 6]} {words[(i * 5 + i // 6) % 6]} {words[(i // 2) % 6]}" for i in range(count)]
        lines = [f"{text},{int('lost' in text)},{int('fee' in text)}" for text in texts]
        (tmp_path / f"{split}.csv").write_text("\n".join(["text,lost,fee", *lines]) + "\n")
    common = (
        "dataset=custom", f"dataset.path={tmp_path}", "dataset.task=multi_label", "dataset.label_columns=[lost,fee]",
        "dataset.validation_split=held", "dataset.max_train_samples=30", "model=custom", f"model.path={model}",
        "tracker=none", "study.space=null", "study.pruner=none", "study.n_trials=1", "study.metric=eval/f1_macro",
        "trainer.num_train_epochs=1", "trainer.decision_threshold=tuned", "engine=trainer",
    )  # fmt: skip
    assert program(monkeypatch, *common, f"run_dir={tmp_path / 'run'}", "study.refit=true") == 0
    assert program(monkeypatch, *common, f"run_dir={tmp_path / 'plain' / 'run'}") == 0
    record, plain = final(tmp_path), final(tmp_path / "plain")
    assert record.refit is not None and record.refit.rows == 30 + 22  # a split of its own; max_train_samples cuts train
    assert record.thresholds == plain.thresholds != (0.5, 0.5) and record.tuned == plain.tuned
    assert record.test["test/loss"] != plain.test["test/loss"]


def test_label_words_and_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for split, count in (("train", 24), ("test", 9)):
        said = [("entailment", "card"), ("neutral", "money bank"), ("contradiction", "fee")]
        rows = [f"my {said[i % 3][1]},the bank {i % 4},{said[i % 3][0]}" for i in range(count)]
        (tmp_path / f"{split}.csv").write_text("\n".join(["text,other,label", *rows]) + "\n")
    llama = tiny_llama(tmp_path / "llama")
    assert program(
        monkeypatch, "dataset=custom", f"dataset.path={tmp_path}", "dataset.text_pair_column=other", "model=custom",
        f"model.path={llama}", "prompt=snli", "prompt.template='the card {text} {text_pair}'",
        "prompt.label_words={entailment: ' card', neutral: ' money bank', contradiction: ' fee'}", "tracker=none",
        "study.space=null", "study.pruner=none",
        "study.n_trials=1", "trainer.num_train_epochs=1", "engine=trainer", f"run_dir={tmp_path / 'run'}",
        "study.refit=true",
    ) == 0  # fmt: skip
    record = final(tmp_path)
    assert record.refit is not None and record.refit.rows == 24
    assert set(record.before) == set(record.retrain_best.metrics) | set(record.test)
