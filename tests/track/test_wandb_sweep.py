"""The Sweeps page of a study and the lineage of its runs, as the server has them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import wandb

from sweep.config.schema import StudyConfig
from sweep.records.store import Store
from sweep.track import wandb_sweep
from sweep.track.dashboard_ids import FILE, DashboardIds
from sweep.track.open import open_tracker
from sweep.track.tracker import Ending, JobType, trial_ending
from sweep.track.wandb_names import model_aliases, registry_path
from sweep.track.wandb_run import WandbRun
from sweep.track.wandb_search_space import config_path, sweep_config
from wandb_mock.faults import Fault
from wandb_mock.records import Sweep

from .conftest import received

SPACE = {"optimizer.learning_rate": {"low": 1e-5, "high": 1e-3, "log": True}}


@pytest.fixture
def locked(store: Store, make_config, make_lock):
    """A study whose run directory has a lock, which names its data and its search space."""
    config = make_config(project="intents")
    store.write_lock(make_lock(config, space=SPACE))
    return config


def api_of(server) -> wandb.Api:
    return wandb.Api(overrides={"base_url": server.url}, api_key=server.api_key)


def test_parameters_in_the_words_of_wandb():
    space = {
        "adapter": {"choices": ["lora", "ia3"]},
        "adapter.r": {"low": 4, "high": 16},
        "optimizer.learning_rate": {"low": 1e-5, "high": 1, "log": True},
        "optimizer.weight_decay": {"low": 0.0, "high": 0.1, "step": 0.05},
        "trainer.num_train_epochs": {"low": 1, "high": 8, "log": True},
    }
    found = sweep_config(StudyConfig(study_name="tiny"), space)
    assert (found["method"], found["metric"]) == ("custom", {"name": "best/eval/accuracy", "goal": "maximize"})
    assert found["parameters"] == {
        "params": {"parameters": {"adapter": {"values": ["lora", "ia3"]}}},
        "adapter": {"parameters": {"r": {"distribution": "int_uniform", "min": 4, "max": 16}}},
        "optimizer": {
            "parameters": {
                "learning_rate": {"distribution": "log_uniform_values", "min": 1e-5, "max": 1.0},
                "weight_decay": {"distribution": "q_uniform", "q": 0.05, "min": 0.0, "max": 0.1},
            }
        },
        "trainer": {
            "parameters": {"num_train_epochs": {"distribution": "q_log_uniform_values", "q": 1, "min": 1, "max": 8}}
        },
    }
    assert [config_path(key) for key in space][:2] == ["params.adapter", "adapter.r"]


def test_the_trials_are_a_sweep_with_our_own_ids_and_group(logged_in, locked, make_trial, run_dir, said):
    tracker = open_tracker(locked, run_dir, say=said.append)
    trial = tracker.open(make_trial(locked))
    assert isinstance(trial, WandbRun)
    trial.finish(Ending("completed"))
    tracker.open(make_trial(locked), JobType.FINAL).finish(Ending("completed"))
    tracker.open_study(locked).finish(Ending("completed"))
    tracker.close()
    (sweep,) = api_of(logged_in).project("intents", "mock").sweeps()
    assert (sweep.state, sweep.config["method"], sweep.config["name"]) == ("FINISHED", "custom", "tiny")
    assert [(run.id, run.group) for run in sweep.runs] == [(trial.id, "tiny")]
    assert (trial.id.startswith("tiny-0000-"), said) == (True, [])


def test_a_study_that_goes_on_takes_its_sweep_up(logged_in, locked, make_trial, run_dir):
    def open_one(number: int) -> None:
        tracker = open_tracker(locked, run_dir)
        tracker.open(make_trial(locked, number)).finish(Ending("completed"))
        tracker.open_study(locked).finish(Ending("completed"))
        tracker.close()

    open_one(0)
    open_one(1)
    (sweep,) = logged_in.backend.sweeps.values()
    assert len(logged_in.backend.runs_of_sweep(sweep)) == 2
    logged_in.backend.sweeps.clear()  # somebody deleted it
    open_one(2)
    assert [received(logged_in, "tiny-0002").sweep] == list(logged_in.backend.sweeps)


@pytest.mark.parametrize("made", [True, False])
def test_a_kill_around_the_making_of_the_sweep_leaves_no_second_one(
    logged_in, locked, make_trial, run_dir, said, monkeypatch, made
):
    """The first process is killed ahead of the request, or ahead of the note of the sweep's id.
    The project has other sweeps, more than an answer holds."""
    for number in range(3):
        logged_in.backend.keep_sweep(Sweep("mock", "intents", f"other-{number}"))
    monkeypatch.setattr("sweep.track.wandb_sweep._PAGE", 2)

    def open_one(number: int) -> None:
        tracker = open_tracker(locked, run_dir, say=said.append)
        tracker.open(make_trial(locked, number)).finish(Ending("completed"))
        tracker.close()

    usual = wandb_sweep.make_sweep

    def killed(*given: Any) -> str:
        if made:
            usual(*given)
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr("sweep.track.wandb_sweep.make_sweep", killed)
        open_one(0)
    said.clear()
    open_one(1)
    open_one(2)
    (sweep,) = [one for one in logged_in.backend.sweeps.values() if not one.name.startswith("other")]
    assert [run.id[:9] for run in logged_in.backend.runs_of_sweep(sweep)] == ["tiny-0001", "tiny-0002"]
    assert said == []


def test_no_sweep_where_none_is_wanted_or_nothing_is_searched(
    logged_in, store, make_config, make_lock, make_trial, run_dir
):
    for config, space in ((make_config(sweep=False), SPACE), (make_config(), {})):
        store.write_lock(make_lock(config, space=space))
        tracker = open_tracker(config, run_dir)
        tracker.open(make_trial(config)).finish(Ending("completed"))
        tracker.close()
    assert not logged_in.backend.sweeps
    assert {run.sweep for run in logged_in.backend.runs.values()} == {""}


def test_a_server_without_sweeps_costs_one_line(logged_in, locked, make_trial, train, run_dir, said):
    logged_in.faults.add(Fault.error(400, times=100, match="UpsertSweep"))
    tracker = open_tracker(locked, run_dir, say=said.append)
    for number in (0, 1):
        run = tracker.open(make_trial(locked, number))
        run.finish(trial_ending(train(make_trial(locked, number), run), locked.study))
    closing = tracker.close()
    assert len(said) == 1 and "takes no sweep (" in said[0] and "no Sweeps page" in said[0]
    assert "2 trial runs, 8 rows" in closing[0]


def test_the_place_of_the_sweep_does_not_stay_in_the_environment(logged_in, locked, make_trial, run_dir, monkeypatch):
    monkeypatch.setenv("WANDB_ENTITY", "mine")
    tracker = open_tracker(locked, run_dir)
    tracker.open(make_trial(locked)).finish(Ending("completed"))
    tracker.close()

    assert (os.environ["WANDB_ENTITY"], "WANDB_PROJECT" in os.environ) == ("mine", False)


def test_every_run_uses_the_data_by_its_fingerprint(logged_in, locked, make_trial, run_dir, said):
    for number in (0, 1):  # two processes
        tracker = open_tracker(locked, run_dir, say=said.append)
        tracker.open(make_trial(locked, number)).finish(Ending("completed"))
        tracker.close()
    api = api_of(logged_in)
    (data,) = api.artifact_versions("dataset", "mock/intents/rows.csv-data")
    assert (data.metadata["fingerprint"], data.metadata["rows/train"]) == ("f1", 20)
    assert data.metadata["source"] == "rows.csv", "without its folder"
    assert [entry.ref for entry in data.manifest.entries.values()] == ["sweep-data:f1"]
    assert sorted(run.name for run in data.used_by()) == ["tiny-0000", "tiny-0001"]
    assert said == []


def test_a_process_of_the_client_that_ends_meanwhile_costs_no_lineage(
    logged_in, locked, make_trial, run_dir, said, monkeypatch
):
    tracker = open_tracker(locked, run_dir, say=said.append)
    usual = wandb.Run.use_artifact

    def use_artifact(run: wandb.Run, *given: Any) -> Any:
        monkeypatch.setattr(wandb.Run, "use_artifact", usual)
        process = wandb.setup().assert_service()._proc
        process._process.kill()
        process._process.wait()
        return usual(run, *given)

    monkeypatch.setattr(wandb.Run, "use_artifact", use_artifact)
    for number in (0, 1):
        run = tracker.open(make_trial(locked, number))
        run.log(1, {"train/loss": 1.0})
        run.finish(Ending("completed"))
    tracker.close()
    (data,) = api_of(logged_in).artifact_versions("dataset", "mock/intents/rows.csv-data")
    assert sorted(run.name for run in data.used_by()) == ["tiny-0000", "tiny-0001"]
    assert len(said) == 1 and "a new one is started" in said[0]


def test_other_rows_are_another_version(logged_in, store, locked, make_trial, run_dir):
    lock = store.lock()
    for fingerprint in ("f1", "f2"):
        store.write_lock(replace(lock, data=replace(lock.data, fingerprint=fingerprint)))
        tracker = open_tracker(locked, run_dir)
        tracker.open(make_trial(locked)).finish(Ending("completed"))
        tracker.close()
    found = logged_in.backend.versions("mock", "intents", "rows.csv-data")
    assert [json.loads(one.metadata)["fingerprint"] for one in found] == ["f1", "f2"]


def test_a_server_without_artifacts_costs_one_line(logged_in, locked, make_trial, run_dir, said):
    logged_in.faults.add(Fault.error(400, times=100, match="CreateArtifact"))
    tracker = open_tracker(locked, run_dir, say=said.append)
    for number in (0, 1):
        tracker.open(make_trial(locked, number)).finish(Ending("completed"))
    closing = tracker.close()
    assert len(said) == 1 and "could not be declared as an input of tiny-0000" in said[0]
    assert "2 trial runs" in closing[0]


def test_the_winner_has_its_aliases_and_its_place_in_the_registry(
    logged_in, store, make_config, make_lock, make_trial, run_dir, tmp_path, said
):
    config = make_config(project="intents", registry="models")
    store.write_lock(make_lock(config, space=SPACE))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("w")
    tracker = open_tracker(config, run_dir, say=said.append)
    tracker.open(make_trial(config), JobType.FINAL).finish(Ending("completed", artifact=tmp_path / "model"))
    tracker.close()
    api = api_of(logged_in)
    assert {"best", "tiny", "latest"} == set(api.artifact("mock/intents/tiny-model:best").aliases)
    linked = api.artifact("mock-organization/wandb-registry-models/tiny:tiny")
    assert (linked.source_name, said) == ("tiny-model:v0", [])


def test_a_registry_that_refuses_costs_one_line(logged_in, make_config, make_trial, run_dir, tmp_path, said):
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights").write_text("w")
    logged_in.faults.add(Fault.error(403, times=100, match="LinkArtifact"))
    config = make_config(registry="models/intents")
    tracker = open_tracker(config, run_dir, say=said.append)
    tracker.open(make_trial(config), JobType.FINAL).finish(Ending("completed", artifact=model))
    closing = tracker.close()
    assert len(said) == 1 and "cannot link the model to the registry models/intents" in said[0]
    assert "1 final" in closing[0]


@pytest.mark.parametrize(("name", "alias"), [("a b/c", "a-b-c"), ("v3", "study-v3"), ("latest", "study-latest")])
def test_aliases_that_wandb_takes(name: str, alias: str):
    assert model_aliases(StudyConfig(study_name=name)) == ["best", alias]


def test_paths_in_a_registry():
    study = StudyConfig(study_name="tiny")
    assert registry_path(study, "models") == "wandb-registry-models/tiny"
    assert registry_path(study, "models/intents") == "wandb-registry-models/intents"


def test_ids_are_kept_by_place(tmp_path, make_config):
    one = DashboardIds.of(tmp_path, "http://a", make_config(project="p").tracker)
    other = DashboardIds.of(tmp_path, "http://b", make_config(project="p").tracker)
    one.note({"sweep": "s"})
    other.note({"sweep": "t"})
    one.note({"view": "v"})
    assert (one.read(), other.read()) == ({"sweep": "s", "view": "v"}, {"sweep": "t"})
    (tmp_path / FILE).write_text("[")
    assert one.read() == {}


def test_the_ids_on_a_mock_server_do_not_depend_on_its_port(tmp_path, make_config):
    mock = make_config("mock", project="p").tracker
    DashboardIds.of(tmp_path, "http://127.0.0.1:1", mock).note({"view": "v"})
    assert DashboardIds.of(tmp_path, "http://127.0.0.1:2", mock).read() == {"view": "v"}


@pytest.mark.slow
def test_an_offline_run_that_is_synced_uses_its_data_and_joins_the_sweep(logged_in, locked, make_trial, run_dir, said):
    """The server takes the first run and not the second, which is synced later."""
    tracker = open_tracker(locked, run_dir, say=said.append)
    tracker.open(make_trial(locked)).finish(Ending("completed"))
    logged_in.faults.add(Fault.error(400, match="UpsertBucket"))
    offline = tracker.open(make_trial(locked, 1))
    assert "offline-run-" in offline.address
    offline.finish(Ending("completed"))
    tracker.close()
    subprocess.run([sys.executable, "-m", "wandb", "sync", offline.address], check=True, capture_output=True)
    (sweep,) = api_of(logged_in).project("intents", "mock").sweeps()
    assert sorted(run.name for run in sweep.runs) == ["tiny-0000", "tiny-0001"]
    synced = next(run for run in sweep.runs if run.name == "tiny-0001")
    assert [one.name for one in synced.used_artifacts()] == ["rows.csv-data:v0"]


def test_a_process_that_opens_no_trial_ends_the_sweep_too(logged_in, locked, make_trial, run_dir):
    first = open_tracker(locked, run_dir)
    first.open(make_trial(locked)).finish(Ending("completed"))
    first.close()
    second = open_tracker(locked, run_dir)
    second.open_study(locked).finish(Ending("completed"))
    second.close()
    (sweep,) = api_of(logged_in).project("intents", "mock").sweeps()
    assert sweep.state == "FINISHED"


def test_a_server_that_fails_makes_no_second_sweep(logged_in, locked, make_trial, run_dir, said):
    first = open_tracker(locked, run_dir)
    first.open(make_trial(locked)).finish(Ending("completed"))
    first.close()
    logged_in.faults.add(Fault.error(400, times=100, match="graphql Sweep"))
    second = open_tracker(locked, run_dir, say=said.append)
    second.open(make_trial(locked, 1)).finish(Ending("completed"))
    second.close()
    assert len(logged_in.backend.sweeps) == 1
