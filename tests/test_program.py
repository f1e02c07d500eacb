"""The whole program, as its user runs it, on a random BERT of two layers."""

from __future__ import annotations

import csv
import json
import math
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from support.program import final, run
from support.tiny import tiny_bert
from sweep.model.artifact import load
from sweep.records.store import Store
from sweep.records.trial import Completed

TRIALS = 3


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


def arguments(model: Path, folder: Path, *more: str) -> list[str]:
    return [
        "+experiment=quickstart", f"model.path={model}", f"run_dir={folder / 'run'}", f"study.n_trials={TRIALS}",
        "dataset.max_train_samples=48", "dataset.max_eval_samples=28", "dataset.max_test_samples=28",
        "trainer.num_train_epochs=2", f"study.space={space(folder)}", "tracker=none", *more,
    ]  # fmt: skip


def space(folder: Path) -> Path:
    path = folder / "space.yaml"
    path.write_text(
        "optimizer.learning_rate: {low: 1.0e-3, high: 1.0e-1, log: true}\nadapter: {choices: [lora, ia3, head, full]}\n"
    )
    return path


@pytest.fixture(scope="module")
def ended(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a study that ended, for all tests: `finished` copies it."""
    folder = tmp_path_factory.mktemp("ended")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SWEEP_CACHE", str(folder / "cache"))
        assert run(patched, *arguments(model, folder), report=True) == 0
    return folder


@pytest.fixture
def finished(ended: Path, tmp_path: Path) -> Path:
    """Return a folder with a finished study of the test's own, in `run`."""
    shutil.copytree(ended / "run", tmp_path / "run")
    return tmp_path


def test_a_finished_study_holds_everything(
    finished: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store, record = Store(finished / "run"), final(finished)
    for name in ("lock.json", "study.db", "report.md", "report.html", "final/record.json", "final/predictions.csv",
                 "final/confusion.csv", "final/model/README.md", "final/model/tokenizer.json"):  # fmt: skip
        assert (finished / "run" / name).stat().st_size > 0, name

    # The retrain takes the trial's steps; from a pack it drops other values.
    assert [point.step for point in record.retrain_evals] == [point.step for point in record.trial_evals]
    scores = {
        trial.number: trial.outcome.best.metrics["eval/accuracy"]
        for trial in store.trials()
        if isinstance(trial.outcome, Completed)
    }
    assert scores[record.number] == max(scores.values())
    assert record.test_rows == 28
    assert {path.parent.name for path in finished.glob("run/trials/*/best")} <= {f"{record.number:04d}"}

    # What was saved predicts what was measured.
    rows = list(csv.DictReader((finished / "run" / "final" / "predictions.csv").read_text().splitlines()))
    accuracy = sum(row["label"] == row["predicted"] for row in rows) / len(rows)
    assert accuracy == pytest.approx(record.test["test/accuracy"])
    loaded, tokenizer = load(finished / "run" / "final" / "model")
    encoded = tokenizer([row["text"] for row in rows], padding=True, truncation=True, return_tensors="pt")
    predicted = loaded(**encoded).logits.argmax(-1).tolist()
    assert [record.label_names[label] for label in predicted] == [row["predicted"] for row in rows]
    assert sum(map(sum, record.confusion)) == len(rows)

    # The lock file says what repeats it.
    lock = store.lock()
    assert lock is not None
    assert lock.data.rows == {"train": 48, "validation": 28, "test": 28}
    assert lock.versions["optuna"] and lock.model.fingerprint and lock.machine["device"] == "cpu"

    # The same command again: nothing is trained, the test split is not read again.
    before = (finished / "run" / "final" / "record.json").read_bytes()
    capsys.readouterr()
    assert run(monkeypatch, *arguments(model, finished)) == 0
    assert "the test split is not read again" in capsys.readouterr().err
    assert (finished / "run" / "final" / "record.json").read_bytes() == before


def test_a_study_goes_on_to_more_trials(finished: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, *arguments(model, finished, "study.n_trials=5")) == 0
    assert [trial.number for trial in Store(finished / "run").trials()] == [0, 1, 2, 3, 4]
    first = len((finished / "run" / "test_readings.jsonl").read_text().splitlines())
    assert final(finished).test_readings == first
    assert first == 1 + (final(finished).number > 2)


def test_a_changed_experiment_is_refused_and_each_change_named(
    finished: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = ("optimizer.weight_decay=0.3", "dataset.max_train_samples=40", "study.seed=5")
    assert run(monkeypatch, *arguments(model, finished, *changes)) == 2
    message = capsys.readouterr().err
    assert "optimizer.weight_decay: was 0.0 when this study began, and is 0.3 now" in message
    for name in ("dataset.max_train_samples", "study.seed", "data fingerprint", "run_dir"):
        assert f"- {name}: " in message
    assert "Traceback" not in message


def test_a_dry_run_tells_the_plan_and_writes_and_trains_nothing(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    after = ("study.dry_run=true", "study.compare_by=adapter", "study.n_trials=6", "study.confirm_seeds=2")
    assert run(monkeypatch, *arguments(model, tmp_path, *after)) == 0
    printed = capsys.readouterr().out
    for part in (
        "learning_rate: 0.001 to 0.1 (log)",
        "train 48, validation 28, test 28",
        "steps per trial: 12",
        "parameters: ",
        "lora, ia3, head, full, with equal numbers of trials",
        "up to 12 more trainings",  # of six trials, two of the four adapters get two and the others one
        "at the end: 4",
    ):
        assert part in printed
    assert not (tmp_path / "run").exists()


def test_a_run_directory_in_use_is_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Store(tmp_path / "run").held():
        assert run(monkeypatch, *arguments(model, tmp_path)) == 2
    assert "in use by another sweep process" in capsys.readouterr().err


def test_faults_of_the_model_come_before_weights_and_all_at_once(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lora = ("study.space=null", "adapter.target_modules=[nowhere]", "trainer.fp16=true", "trainer.device=cpu")
    assert run(monkeypatch, *arguments(model, tmp_path, *lora)) == 2
    message = capsys.readouterr().err
    assert "adapter.target_modules" in message
    assert "trainer.fp16" in message


def test_a_model_that_cannot_be_reached_says_how_to_give_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *arguments(tmp_path / "none", tmp_path)) == 2
    assert "model.path" in capsys.readouterr().err


def test_diverging_trials_are_failures_of_their_points(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = shutil.copytree(model, tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    weights["embeddings.word_embeddings.weight"].fill_(math.nan)
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    argv = arguments(broken, tmp_path, "study.space=null", "study.n_trials=2")
    assert run(monkeypatch, *argv, report=True) == 2
    assert "no trial completed" in capsys.readouterr().err
    assert [trial.state for trial in Store(tmp_path / "run").trials()] == ["diverged", "diverged"]
    assert "diverged" in (tmp_path / "run" / "report.md").read_text()


def test_the_mock_backend_receives_every_trial_and_row_and_no_file_a_secret(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "5ecre7" * 6 + "5ecr")
    monkeypatch.setenv("HF_TOKEN", "hf_" + "s3cret" * 5)
    assert run(monkeypatch, *arguments(model, tmp_path, "tracker=mock", "study.n_trials=2")) == 0
    assert "2 trial runs, 1 final, 1 study" in capsys.readouterr().err
    kept = tmp_path / "run" / "wandb-mock"
    received = "".join(path.read_text() for path in kept.rglob("*.json*"))
    assert "eval/accuracy" in received and "train/loss" in received and "test/accuracy" in received
    for path in (tmp_path / "run").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"5ecre75ecre7" not in content and b"s3crets3cret" not in content, path
    assert json.loads((tmp_path / "run" / "lock.json").read_text())["git"]


@pytest.mark.slow
def test_two_trackers_are_given_a_study_that_a_third_one_cannot_break(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorboard")
    from sweep.track.tensorboard_tracker import written_steps

    (tmp_path / "own" / "tracker").mkdir(parents=True)
    (tmp_path / "own" / "tracker" / "bad.yaml").write_text("name: bad\ntarget: bad_tracker.Bad\n")
    (tmp_path / "bad_tracker.py").write_text(
        "from sweep.config.schema import Section\nclass Bad:\n  Settings, requires = Section, {}\n"
        "  def __init__(self, *given, **named): raise OSError('no room')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    more = ("tracker=[mock,bad,tensorboard]", "study.n_trials=2", "--config-dir", str(tmp_path / "own"))
    assert run(monkeypatch, *arguments(model, tmp_path, *more)) == 0
    output = capsys.readouterr().err
    assert output.count("bad failed to start (OSError: no room)") == output.count("no room") == 1
    assert "2 trial runs, 1 final, 1 study" in output and "TensorBoard: 4 runs" in output
    for trial in Store(tmp_path / "run").trials():
        there = written_steps(tmp_path / "run" / "tensorboard" / f"{trial.number:04d}")
        assert there["eval/accuracy"] == {point.step for point in trial.outcome.evals}
        assert "tensorboard: " in trial.tracker_run and "W&B: http" in trial.tracker_run


def test_a_trial_s_command_repeats_its_numbers(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shlex

    trial = Store(finished / "run").trials()[0]
    assert isinstance(trial.outcome, Completed)
    words = shlex.split(trial.command)
    argv = [*(word for word in words[3:] if not word.startswith("run_dir=")), f"run_dir={finished / 'again'}"]
    assert run(monkeypatch, *argv) == 0
    again = Store(finished / "again").trials()[0]
    assert isinstance(again.outcome, Completed)
    assert again.outcome.evals == trial.outcome.evals
