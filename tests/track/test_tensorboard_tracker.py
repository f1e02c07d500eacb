"""TensorBoard's event files, read back by its own reader."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorboard")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import api_pb2, metadata

from sweep.records.store import Store
from sweep.track.tensorboard_tracker import TensorboardSettings, TensorboardTracker, written_steps
from sweep.track.tracker import PAUSED, Ending, JobType, StoppedRun, cut_trial, trial_ending


@pytest.fixture
def tracker(make_config, run_dir) -> TensorboardTracker:
    return TensorboardTracker(make_config("tensorboard"), run_dir, settings=TensorboardSettings(), say=print)


def read(run_dir: Path, name: str) -> Any:
    return EventAccumulator(str(run_dir / "tensorboard" / name), size_guidance={"tensors": 0}).Reload()


def steps(files: Any, name: str) -> list[int]:
    return [event.step for event in files.Tensors(name)]


def text(files: Any, name: str) -> str:
    return files.Tensors(name)[-1].tensor_proto.string_val[0].decode()


def hparams(files: Any, kind: str) -> bytes:
    return files.SummaryMetadata(f"_hparams_/{kind}").plugin_data.content


@pytest.mark.parametrize(
    ("state", "status"), [("completed", api_pb2.STATUS_SUCCESS), ("pruned", api_pb2.STATUS_SUCCESS),
                          ("diverged", api_pb2.STATUS_FAILURE)],
)  # fmt: skip
def test_a_trial_is_read_back(tracker, make_config, make_trial, train, run_dir, state, status):
    trial = make_trial(make_config())
    run = tracker.open(trial)
    run.finish(trial_ending(train(trial, run, state), trial.config.study))
    assert run.address == str(run_dir / "tensorboard" / "0000")
    files = read(run_dir, "0000")
    assert steps(files, "eval/accuracy") == steps(files, "train/loss") == [2, 4]
    assert steps(files, "best/eval/accuracy") == [4] and text(files, "state") == state
    assert "optimizer.learning_rate" in text(files, "config")
    start = metadata.parse_session_start_info_plugin_data(hparams(files, "session_start_info"))
    assert start.hparams["optimizer.learning_rate"].number_value == 0.001
    assert metadata.parse_session_end_info_plugin_data(hparams(files, "session_end_info")).status == status


def test_a_run_that_died_is_completed_not_doubled(tracker, make_config, make_trial, train, run_dir):
    trial = make_trial(make_config())
    run = tracker.open(trial)
    run.log(2, {"train/loss": 1.0, "train/epoch": 0.5})
    run._writer.flush()
    (file,) = (run_dir / "tensorboard" / "0000").glob("events*")
    file.write_bytes(file.read_bytes() + b"\x18\x00\x00")  # cut off

    class Deaf:
        address = run.address

        def log(self, step: int, metrics: object) -> None:
            """Nothing arrives."""

    record = train(trial, Deaf(), "lost")
    again = TensorboardTracker(make_config("tensorboard"), run_dir, settings=TensorboardSettings(), say=print)
    assert again.left_open(run.address) and not again.left_open("")
    assert again.complete(cut_trial(record, Store(run_dir).events(0), trial.config.study))
    assert not again.left_open(run.address) and not list(run_dir.rglob(".open"))
    files = read(run_dir, "0000")
    assert steps(files, "train/loss") == steps(files, "eval/loss") == [2, 4] and text(files, "state") == "lost"
    assert written_steps(run_dir / "tensorboard" / "0000")["eval/accuracy"] == {2, 4}


def test_a_trial_without_files_is_not_completed(tracker, make_config, make_trial, train, run_dir):
    trial = make_trial(make_config())
    record = train(trial, tracker.open_study(make_config()), "lost")
    assert not tracker.complete(replace(cut_trial(record, [], trial.config.study), address="elsewhere/0000"))


def test_the_study_and_the_winner_are_written_once(tracker, make_config, make_trial, train, run_dir, tmp_path):
    report = tmp_path / "report.md"
    for number, said in enumerate(("first", "second")):
        trial = make_trial(make_config(), number)
        run = tracker.open(trial, JobType.FINAL)
        record = train(trial, run)
        run.finish(Ending("completed"))
        report.write_text(said)
        study = tracker.open_study(make_config())
        study.finish(Ending("completed", summary={"n": 1, "device": "cpu"}, files=(report,), trials=(record,)))
    closing = tracker.close()
    assert steps(read(run_dir, "final"), "eval/loss") == [2, 4]
    assert "session_start_info" not in "".join(read(run_dir, "final").Tags()["tensors"])
    files = read(run_dir, "study")
    assert len(files.Tensors("report")) == 1 and text(files, "report") == "second"
    assert text(files, "trials").startswith("| number | state |") and text(files, "device") == "cpu"
    assert "tensorboard --logdir" in closing[1]


def test_values_of_every_kind(tracker, make_config, make_trial, run_dir):
    params = {"a": 1, "b": 0.5, "c": True, "d": "lora", "e": None}
    tracker.open(replace(make_trial(make_config()), params=params)).finish(Ending("completed"))
    start = metadata.parse_session_start_info_plugin_data(hparams(read(run_dir, "0000"), "session_start_info"))
    kinds = {key: value.WhichOneof("kind") for key, value in start.hparams.items()}
    assert kinds == dict(
        zip("abcde", ("number_value", "number_value", "bool_value", "string_value", "string_value"), strict=True)
    )


def test_a_kill_in_the_moment_of_opening_leaves_no_second_run(tracker, make_config, make_trial, run_dir):
    first = tracker.open(make_trial(make_config()))
    first._writer.flush()
    again = TensorboardTracker(make_config("tensorboard"), run_dir, settings=TensorboardSettings(), say=print)
    assert again.open(make_trial(make_config())).address == first.address
    again.close()
    folders = {file.parent for file in (run_dir / "tensorboard").rglob("events*")}
    assert folders == {run_dir / "tensorboard" / "0000"} and len(list(run_dir.rglob("events*"))) == 1


def test_a_run_that_was_stopped_and_went_on_counts_once(tracker, make_config, make_trial):
    trial = make_trial(make_config())
    run = tracker.open(trial)
    run.finish(PAUSED)
    again = tracker.resume(trial, StoppedRun(JobType.TRIAL, run.address))
    assert again is not None
    again.finish(Ending("completed"))
    assert tracker.close()[0].startswith("TensorBoard: 1 run in ")
