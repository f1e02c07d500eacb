"""The real MLflow client, and what it reads back of a study."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mlflow")

from sweep.records.events import read_rows
from sweep.records.store import Store
from sweep.track.faults import tracker_faults
from sweep.track.mlflow_tracker import MlflowSettings, MlflowTracker, _name, _sqlite
from sweep.track.open import open_tracker
from sweep.track.study_run import StudyRun
from sweep.track.tracker import Chart, Ending, JobType, cut_trial, trial_ending


@pytest.fixture(scope="session")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database for all tests: its tables take seconds to make, and each test has an experiment
    of its own."""
    return _sqlite(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture
def tracked(make_config: Any, run_dir: Path, uri: str) -> Callable[[], MlflowTracker]:
    config = make_config("mlflow", target="sweep.track.mlflow_tracker.MlflowTracker")
    own = MlflowSettings(uri=uri, experiment=str(run_dir))
    return lambda: MlflowTracker(config, run_dir, settings=own, say=print)


def runs(tracker: MlflowTracker) -> dict[str, Any]:
    return {run.info.run_name: run for run in tracker.client.search_runs([tracker.experiment])}


def steps(tracker: MlflowTracker, run: Any, name: str) -> list[int]:
    return [row.step for row in tracker.client.get_metric_history(run.info.run_id, name)]


def test_a_trial_is_read_back(make_config, make_trial, train, run_dir, tracked):
    tracker = tracked()
    trial = make_trial(make_config())
    run = tracker.open(trial)
    run.finish(trial_ending(train(trial, run), trial.config.study))
    found = runs(tracker)["0000"]
    assert found.info.status == "FINISHED" and found.data.tags["sweep.state"] == "completed"
    assert steps(tracker, found, "eval/accuracy") == steps(tracker, found, "train/loss") == [2, 4]
    assert found.data.metrics["best/eval/accuracy"] == pytest.approx(0.8)
    assert float(found.data.params["optimizer.learning_rate"]) == 0.001 and "trainer.seed" in found.data.params
    assert found.info.run_id == run.address.rpartition("/runs/")[2]


@pytest.mark.parametrize(
    ("state", "status"), [("pruned", "FINISHED"), ("diverged", "FAILED"), ("interrupted", "KILLED")]
)
def test_the_end_of_a_trial_is_logged(make_config, make_trial, train, state, status, tracked):
    tracker = tracked()
    trial = make_trial(make_config())
    run = tracker.open(trial)
    run.finish(trial_ending(train(trial, run, state), trial.config.study))
    found = runs(tracker)["0000"]
    assert (found.info.status, found.data.tags["sweep.state"]) == (status, state)


def test_a_run_that_died_is_completed_not_doubled(make_config, make_trial, train, run_dir, tracked):
    store, trial = Store(run_dir), make_trial(make_config())
    first = tracked().open(trial)
    first.log(2, {"train/loss": 1.0, "train/epoch": 0.5})  # the rest is lost with the process

    class Deaf:
        address = first.address

        def log(self, step: int, metrics: object) -> None:
            """Nothing arrives."""

    record = train(trial, Deaf(), "lost")
    again = tracked()
    assert again.left_open(first.address) and not again.left_open("elsewhere/runs/1")
    assert again.complete(cut_trial(record, store.events(0), trial.config.study))
    assert not again.left_open(first.address)
    (found,) = runs(again).values()
    assert found.info.status == "FAILED" and found.data.tags["sweep.state"] == "lost"
    assert steps(again, found, "train/loss") == steps(again, found, "eval/loss") == [2, 4]


def test_the_study_has_one_run_with_its_report_and_the_model(
    make_config, make_trial, train, run_dir, tmp_path, tracked
):
    report, model = tmp_path / "report.md", tmp_path / "model"
    model.mkdir()
    (model / "weights").write_text("w")
    for text in ("first", "second"):
        tracker = tracked()
        trial = make_trial(make_config())
        record = train(trial, tracker.open(trial, JobType.FINAL))
        tracker.open(trial, JobType.FINAL).finish(Ending("completed", artifact=model))
        report.write_text(text)
        tracker.open_study(make_config()).finish(
            Ending("completed", summary={"n": 1, "device": "cpu"}, files=(report,), trials=(record,))
        )
        closing = tracker.close()
    found = tracker.client.search_runs([tracker.experiment])
    (study,) = [run for run in found if run.data.tags["sweep.job_type"] == "study"]
    read = {Path(file.path).name for file in tracker.client.list_artifacts(study.info.run_id)}
    assert read == {"config.json", "report.md", "trials.csv"} and study.info.status == "FINISHED"
    place = tracker.client.download_artifacts(study.info.run_id, "report.md", str(tmp_path))
    assert Path(place).read_text() == "second"
    finals = [run for run in found if run.data.tags["sweep.job_type"] == "final"]
    assert sorted(run.info.status for run in finals) == ["FINISHED", "FINISHED", "KILLED", "KILLED"]
    done = next(run for run in finals if run.info.status == "FINISHED")
    assert [file.path for file in tracker.client.list_artifacts(done.info.run_id, "model")] == ["model/weights"]
    assert "MLflow: runs 2 final, 1 study, at sqlite://" in closing[0]


def test_a_kill_in_the_moment_of_opening_leaves_no_second_run(make_config, make_trial, run_dir, tracked):
    store, trials = Store(run_dir), [make_trial(make_config(), number) for number in range(3)]
    first = tracked()
    opened = [first.open(trial) for trial in trials[:2]]
    store.note_run(0, f"mlflow: {opened[0].address}")  # the process is killed before it notes the second one
    again = tracked()
    changed = trials[1].config.model_copy(update={"title": "of the next command"})
    run = again.open(replace(trials[1], config=changed))
    assert run.address == opened[1].address
    assert again.open(trials[0]).address != opened[0].address, "its run goes on by its address alone"
    assert again.open(replace(trials[1], config=changed)).address != run.address
    again.open(trials[2])
    again.close()
    assert len(again.client.search_runs([again.experiment])) == 5


def test_nothing_leaves_the_machine(tracked):
    tracked()
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_a_server_that_is_away_costs_one_line(make_config, make_trial, run_dir, said, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    uri, target = "http://me:s3cretpassword@127.0.0.1:9", "sweep.track.mlflow_tracker.MlflowTracker"
    config = make_config("mlflow", target=target, uri=uri, tags=(), finish_timeout=60.0)
    assert tracker_faults(config) == []
    tracker = open_tracker(config, run_dir, say=said.append)
    for number in range(2):
        run = tracker.open(make_trial(config, number))
        run.log(1, {"train/loss": 1.0})
        run.finish(Ending("completed"))
    tracker.close()
    assert len(said) == 1 and said[0].startswith("mlflow failed to start") and "s3cretpassword" not in said[0]


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("eval/f1_card (new)", "eval/f1_card _new_"),
        ("a//b", "a/_/b"),
        ("../x", "_/x"),
        ("é", "é"),
        ("eval/é@", "eval/é_"),
    ],
)
def test_names_that_mlflow_takes(name, taken):
    from mlflow.utils.validation import _validate_metric_name

    assert _name(name) == taken
    _validate_metric_name(taken)


@pytest.mark.parametrize("uri", ["ftp://host", "runs/mlflow", "file:///tmp/mlruns"])
def test_addresses_that_mlflow_does_not_take(make_config, uri):
    config = make_config(
        "mlflow", target="sweep.track.mlflow_tracker.MlflowTracker", uri=uri, tags=(), finish_timeout=60.0
    )
    (fault,) = tracker_faults(config)
    assert fault.path == "tracker.uri" and "http://" in fault.message


@pytest.mark.slow
def test_a_store_in_a_run_directory_of_any_name(make_config, make_trial, train, tmp_path):
    """It makes its tables: seconds."""
    folder = tmp_path / "a run? #1 100%"
    (folder / "mlflow" / ".new").mkdir(parents=True)
    (folder / "mlflow" / ".new" / "mlflow.db").write_text("left by a killed process")
    tracker = MlflowTracker(make_config("mlflow"), folder, settings=MlflowSettings(), say=print)
    trial = make_trial(make_config())
    run = tracker.open(trial)
    (tmp_path / "report.md").write_text("text")
    run.finish(Ending("completed", files=(tmp_path / "report.md",)))
    assert (folder / "mlflow" / "mlflow.db").exists() and list((folder / "mlflow").rglob("report.md"))
    assert tracker.client.get_experiment(tracker.experiment).name == "tiny"
    assert not list(tmp_path.glob("*%25*")) and not (folder / "mlflow" / ".new").exists()
    assert "mlflow ui --backend-store-uri 'sqlite+pysqlite:///" in tracker.close()[1]


def test_the_studys_run_has_rows_while_it_runs_and_goes_on_after_a_kill(make_config, make_trial, store, tracked):
    first = tracked()
    begun = StudyRun(first, store, make_config(), rows=100)
    begun.open()
    begun.write()
    lost = first.open(make_trial(make_config()))
    tracker = tracked()
    assert tracker.left_open(lost.address)
    run = StudyRun(tracker, store, make_config(), rows=100)
    run.open()
    assert tracker.left_open(lost.address), "it may still go on"
    bars = Chart("study/importance", "Importance", "bars", [{"key": "a", "importance": 0.5}])
    run.finish(Ending("completed", summary={"study/best_trial": 7}, charts=(bars,)))
    study = runs(tracker)["study"]
    assert steps(tracker, study, "study/trials_ended") == [
        row.step for row in read_rows(store.study_dir) if row.metrics
    ]
    assert (study.info.status, study.data.metrics["study/best_trial"]) == ("FINISHED", 7)
    assert not tracker.left_open(lost.address) and runs(tracker)["0000"].info.status == "KILLED"
    found = [file.path for file in tracker.client.list_artifacts(study.info.run_id, "study")]
    assert found == ["study/importance.csv"]


def test_a_studys_run_whose_address_was_lost_takes_no_row_twice(make_config, store, tracked):
    begun = StudyRun(tracked(), store, make_config(), rows=100)
    begun.open()
    begun.write()
    (store.study_dir / "tracker_run").unlink()
    tracker = tracked()
    StudyRun(tracker, store, make_config(), rows=100).open()
    found = steps(tracker, runs(tracker)["study"], "study/trials_ended")
    assert found == [row.step for row in read_rows(store.study_dir)]
