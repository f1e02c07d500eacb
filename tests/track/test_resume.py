"""Runs of stopped trainings: they go on without a row lost or doubled, on each tracker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import wandb
from wandb.sdk.lib.service import service_process
from wandb.sdk.lib.service.service_port_file import ServicePollForTokenError

from sweep.records.store import Store
from sweep.records.trial import EvalPoint, Step, TrialPlan
from sweep.track.mlflow_tracker import MlflowSettings, MlflowTracker, _sqlite
from sweep.track.open import open_tracker
from sweep.track.tensorboard_tracker import TensorboardSettings, TensorboardTracker, written_steps
from sweep.track.tracker import PAUSED, PUT_AWAY, Alert, Ending, JobType, Run, StoppedRun, Tracker, go_on
from sweep.track.wandb_run import WandbRun
from sweep.track.wandb_service import abandon
from sweep.track.wandb_tracker import WandbTracker
from wandb_mock import MockServer
from wandb_mock.records import Run as Received

ROWS: list[Step | EvalPoint] = []
for index in (1, 2, 3):
    ROWS.append(Step(index, 3, index / 3, {"train/loss": 1 / index}))
    ROWS.append(EvalPoint(index, index, index / 3, {"eval/accuracy": index / 10, "eval/loss": 0.5}))


def log(run: Run, rows: list[Step | EvalPoint]) -> None:
    for row in rows:
        run.log(row.step, row.metrics)


def stopped(run: Run, rows: list[Step | EvalPoint]) -> StoppedRun:
    return StoppedRun(JobType.TRIAL, run.address, rows)


def opened(tracker: Tracker, trial: TrialPlan) -> WandbRun:
    run = tracker.open(trial)
    assert isinstance(run, WandbRun)
    return run


def die(tracker: WandbTracker) -> None:
    """End as a killed process does: no run is ended."""
    abandon([run.client for run in tracker.runs])
    tracker.connection.service.put_back()


def rows_of(run: Received) -> list[tuple[int, list[str]]]:
    return [
        (row["train/global_step"], sorted(name for name in row if name.startswith(("train/l", "eval"))))
        for row in run.history
    ]


TENSORBOARD = {"tensorboard": {"name": "tensorboard", "target": "sweep.track.tensorboard_tracker.TensorboardTracker"}}
ALL = [(row.step, sorted(row.metrics)) for row in ROWS]


def sync(server: MockServer, run_dir: Path) -> None:
    env = {**os.environ, "WANDB_BASE_URL": server.url, "WANDB_API_KEY": server.api_key}
    folders = map(str, sorted((run_dir / "wandb").glob("offline-run-*")))
    subprocess.run([sys.executable, "-m", "wandb", "sync", *folders], env=env, check=True, capture_output=True)


@pytest.mark.parametrize("arrived", [0, 3, 4])
def test_a_run_goes_on_after_a_kill_with_the_rows_that_the_server_lacks(
    logged_in, make_config, make_trial, run_dir, said, arrived
):
    config = make_config()
    first = open_tracker(config, run_dir, say=said.append)
    run = first.open(make_trial(config))
    log(run, ROWS[:arrived])
    die(first)
    second = open_tracker(config, run_dir, say=said.append)
    again = go_on(second, make_trial(config), stopped(run, ROWS[:4]))
    assert again.address == run.address
    log(again, ROWS[4:])
    again.finish(Ending("completed", summary={"best/step": 3}))
    second.close()
    (got,) = logged_in.backend.runs.values()
    assert rows_of(got) == ALL
    assert (got.state, got.summary["state"], got.summary["best/step"]) == ("finished", "completed", 3)
    assert set(got.tags) == {"unit", "completed"}
    assert said == [] and not list(run_dir.glob(".open_runs/*"))


def test_a_run_that_was_put_away_shows_it_until_it_goes_on(logged_in, make_config, make_trial, run_dir, said):
    config = make_config()
    tracker = open_tracker(config, run_dir, say=said.append)
    run = tracker.open(make_trial(config))
    log(run, ROWS[:3])
    run.finish(PUT_AWAY)
    (got,) = logged_in.backend.runs.values()
    assert (got.summary["state"], got.summary["optuna/state"], got.exit_code) == ("interrupted", "RUNNING", 130)
    assert set(got.tags) == {"unit"}
    again = go_on(tracker, make_trial(config), stopped(run, ROWS[:3]))
    log(again, ROWS[3:])
    again.finish(Ending("pruned"))
    assert rows_of(got) == ALL and set(got.tags) == {"unit", "pruned"}
    assert (got.summary["state"], got.summary["optuna/state"], got.exit_code) == ("pruned", "PRUNED", 0)
    tracker.close()
    assert said == []


@pytest.mark.parametrize("mode", ["auto", "offline"])
def test_the_run_of_a_paused_trial_goes_on_in_the_same_process(logged_in, make_config, make_trial, run_dir, said, mode):
    config = make_config(mode=mode)
    tracker = open_tracker(config, run_dir, say=said.append)
    run = tracker.open(make_trial(config))
    for count in (2, 4):
        log(run, ROWS[count - 2 : count])
        run.finish(PAUSED)
        if mode == "auto":
            (got,) = logged_in.backend.runs.values()
            assert (got.state, got.summary["state"], got.summary["optuna/state"]) == ("finished", "paused", "RUNNING")
        run = go_on(tracker, make_trial(config), stopped(run, ROWS[:count]))
    log(run, ROWS[4:])
    run.finish(Ending("completed"))
    assert f"1 trial run, {len(ROWS)} rows" in tracker.close()[0] and said == []
    if mode == "offline":
        (folder,) = (run_dir / "wandb").glob("offline-run-*")
        assert str(folder) == run.address
        sync(logged_in, run_dir)
    (got,) = logged_in.backend.runs.values()
    assert rows_of(got) == ALL and got.summary["state"] == "completed"


@pytest.mark.parametrize("mode", ["auto", "offline"])
def test_a_run_that_was_killed_before_its_address_was_noted_is_the_same_run(
    logged_in, make_config, make_trial, run_dir, said, mode
):
    config = make_config(mode=mode)
    first = open_tracker(config, run_dir)
    lost, noted = (opened(first, make_trial(config, number)) for number in (0, 1))
    Store(run_dir).note_run(1, noted.address)
    die(first)
    for unused in ("00000000", "ffffffff"):  # ids that were kept beside it, and that no run has
        (run_dir / ".open_runs" / f"{lost.id[:-8]}{unused}").touch()
    tracker = open_tracker(config, run_dir, say=said.append)
    run, other = (opened(tracker, make_trial(config, number)) for number in (0, 1))
    assert (run.id, said) == (lost.id, []) and other.id != noted.id
    for one in (run, other):
        log(one, ROWS)
        one.finish(Ending("completed"))
    tracker.close()
    if mode == "offline":
        assert len(list((run_dir / "wandb").glob(f"offline-run-*-{lost.id}*"))) == 1
        return
    runs = {got.id: rows_of(got) for got in logged_in.backend.runs.values()}
    assert runs == {lost.id: ALL, noted.id: [], other.id: ALL}


def test_the_end_of_the_tracker_puts_open_runs_away(logged_in, make_config, make_trial, run_dir):
    config = make_config()
    tracker = open_tracker(config, run_dir)
    log(tracker.open(make_trial(config)), ROWS)
    tracker.close()
    (got,) = logged_in.backend.runs.values()
    assert (got.summary["state"], got.summary["optuna/state"], len(got.history)) == ("interrupted", "RUNNING", 6)


def test_offline_the_run_is_kept_whole_in_one_folder(server, make_config, make_trial, run_dir, said):
    config = make_config(mode="offline")
    address = ""
    for count in (2, 5, 6):
        tracker = open_tracker(config, run_dir, say=said.append)
        trial = make_trial(config)
        run = (
            go_on(tracker, trial, StoppedRun(JobType.TRIAL, address, ROWS[: count - 1]))
            if address
            else tracker.open(trial)
        )
        log(run, ROWS[count - 1 : count] if address else ROWS[:count])
        address = run.address
        run.finish(PUT_AWAY if count < 6 else Ending("completed"))
        tracker.close()
        (folder,) = (run_dir / "wandb").glob("offline-run-*")
        assert str(folder) == address
    sync(server, run_dir)
    (got,) = server.backend.runs.values()
    assert rows_of(got) == ALL and got.summary["state"] == "completed"


def test_a_server_that_is_away_when_a_run_goes_on_gets_it_whole_later(
    logged_in, make_config, make_trial, run_dir, said, tmp_path
):
    config = make_config()
    tracker = open_tracker(config, run_dir, say=said.append)
    run = tracker.open(make_trial(config))
    log(run, ROWS[:3])
    run.finish(PUT_AWAY)
    tracker.close()
    logged_in.close()
    tracker = open_tracker(config, run_dir, say=said.append)
    again = go_on(tracker, make_trial(config), stopped(run, ROWS[:3]))
    log(again, ROWS[3:])
    again.finish(Ending("completed"))
    tracker.close()
    assert "offline-run-" in again.address and "does not answer" in said[0]
    with MockServer(tmp_path / "elsewhere") as back:
        sync(back, run_dir)
        (got,) = back.backend.runs.values()
        assert rows_of(got) == ALL and (got.state, got.summary["state"]) == ("finished", "completed")


def test_an_offline_run_goes_on_at_a_server_that_is_back(server, make_config, make_trial, run_dir, monkeypatch, said):
    config = make_config(mode="offline")
    tracker = open_tracker(config, run_dir, say=said.append)
    run = tracker.open(make_trial(config))
    log(run, ROWS[:3])
    run.finish(PUT_AWAY)
    tracker.close()
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    monkeypatch.setenv("WANDB_API_KEY", server.api_key)
    tracker = open_tracker(make_config(), run_dir, say=said.append)
    again = go_on(tracker, make_trial(config), stopped(run, ROWS[:3]))
    log(again, ROWS[3:])
    again.finish(Ending("completed"))
    tracker.close()
    (got,) = server.backend.runs.values()
    assert rows_of(got) == ALL and again.address.startswith(server.url)
    assert not list((run_dir / "wandb").glob("offline-run-*"))


def test_tensorboard_goes_on_in_the_same_folder(make_config, make_trial, run_dir):
    def opened() -> TensorboardTracker:
        return TensorboardTracker(make_config("tensorboard"), run_dir, settings=TensorboardSettings(), say=print)

    trial, tracker = make_trial(make_config()), opened()
    run = tracker.open(trial)
    log(run, ROWS[:3])
    tracker.close()
    again = go_on(opened(), trial, stopped(run, ROWS[:4]))
    log(again, ROWS[4:])
    again.finish(Ending("completed"))
    folder = run_dir / "tensorboard" / "0000"
    assert again.address == str(folder)
    assert written_steps(folder)["eval/accuracy"] == written_steps(folder)["train/loss"] == {1, 2, 3}
    assert go_on(opened(), trial, StoppedRun(JobType.TRIAL, "elsewhere/0009", ROWS)).address == str(folder)


def test_mlflow_goes_on_with_the_same_run(make_config, make_trial, run_dir, tmp_path):
    uri = _sqlite(tmp_path)

    def opened() -> MlflowTracker:
        return MlflowTracker(make_config("mlflow"), run_dir, settings=MlflowSettings(uri=uri), say=print)

    trial, tracker = make_trial(make_config()), opened()
    run = tracker.open(trial)
    log(run, ROWS[:3])
    tracker.close()
    (found,) = tracker.client.search_runs([tracker.experiment])
    assert (found.info.status, found.data.tags["sweep.state"]) == ("KILLED", "interrupted")
    second = opened()
    again = go_on(second, trial, stopped(run, ROWS[:4]))
    assert second.client.get_run(found.info.run_id).info.status == "RUNNING"
    log(again, ROWS[4:])
    again.finish(Ending("completed"))
    (found,) = second.client.search_runs([second.experiment])
    assert (found.info.status, found.data.tags["sweep.state"]) == ("FINISHED", "completed")
    history = second.client.get_metric_history(found.info.run_id, "eval/accuracy")
    assert [row.step for row in history] == [1, 2, 3]


def test_a_tracker_that_cannot_go_on_gets_a_new_run_with_all_rows_and_says_so_once(
    make_config, make_trial, run_dir, said, monkeypatch
):
    from support import tracker_plugins

    monkeypatch.setattr(tracker_plugins.KeepingTracker, "made", [])
    target = "support.tracker_plugins.KeepingTracker"
    config = make_config("kept", tags=(), finish_timeout=60.0, target=target,
                         also=TENSORBOARD)  # fmt: skip
    runs = []
    for number in (0, 1):
        tracker: Tracker = open_tracker(config, run_dir, say=said.append)
        trial: TrialPlan = make_trial(config, number)
        run = tracker.open(trial)
        log(run, ROWS[:2])
        tracker.close()
        runs.append((trial, run))
    tracker = open_tracker(config, run_dir, say=said.append)
    for trial, run in runs:
        log(go_on(tracker, trial, stopped(run, ROWS[:2])), ROWS[2:])
    tracker.close()
    kept = tracker_plugins.KeepingTracker.made[-1]
    assert [step for step, _ in kept.rows] == [row.step for row in ROWS] * 2
    assert [line for line in said if "cannot go on" in line] == said and len(said) == 1
    assert written_steps(run_dir / "tensorboard" / "0001")["eval/loss"] == {1, 2, 3}


def test_the_address_of_several_trackers_finds_each_part(make_config, make_trial, logged_in, run_dir, said):
    config = make_config(also=TENSORBOARD)
    tracker = open_tracker(config, run_dir, say=said.append)
    run = tracker.open(make_trial(config))
    log(run, ROWS[:3])
    tracker.close()
    tracker = open_tracker(config, run_dir, say=said.append)
    again = go_on(tracker, make_trial(config), stopped(run, ROWS[:3]))
    assert again.address == run.address
    log(again, ROWS[3:])
    again.finish(Ending("completed"))
    tracker.close()
    (got,) = logged_in.backend.runs.values()
    assert rows_of(got) == ALL and said == []


def kill_service() -> None:
    process = wandb.setup().assert_service()._proc
    process._process.kill()
    process._process.wait()


def test_a_process_of_the_client_that_ends_at_its_start_is_started_again(logged_in, make_config, run_dir, monkeypatch):
    launch, left = service_process._launch_server, iter([1, 2])

    def ended(*args: Any, **options: Any) -> Any:
        if next(left, None) is not None:
            raise ServicePollForTokenError("it ended")
        return launch(*args, **options)

    wandb.teardown()
    monkeypatch.setattr(service_process, "_launch_server", ended)
    opening = Thread(target=lambda: open_tracker(make_config(), run_dir).close(), daemon=True)
    opening.start()
    opening.join(60)
    assert not opening.is_alive() and next(left, None) is None


@pytest.mark.parametrize("killed", [1, 4, 6])  # after so many rows; all of them: at the end of the run
def test_runs_go_on_in_a_new_process_of_the_client(logged_in, make_config, make_trial, run_dir, said, killed):
    config = make_config()
    tracker = open_tracker(config, run_dir, say=said.append)
    run, idle = tracker.open(make_trial(config)), tracker.open(make_trial(config, 1))
    log(idle, ROWS[:2])
    log(run, ROWS[:killed])
    kill_service()
    log(run, ROWS[killed:])
    run.finish(Ending("completed", summary={"best/step": 3}))
    kill_service()  # found when a run is started
    late = tracker.open(make_trial(config, 2))
    for one, rows in ((idle, ROWS[2:]), (late, ROWS)):
        log(one, rows)
        one.finish(Ending("completed", summary={}))
    tracker.close()
    runs = list(logged_in.backend.runs.values())
    assert [rows_of(one) for one in runs] == [ALL] * 3
    assert [(one.state, one.summary["state"]) for one in runs] == [("finished", "completed")] * 3
    assert len(said) == 2 and all("a new one is started" in line for line in said)
    assert not list(run_dir.glob(".open_runs/*"))


def test_offline_runs_go_on_in_a_new_process_of_the_client(server, make_config, make_trial, run_dir, said):
    config = make_config(mode="offline")
    tracker = open_tracker(config, run_dir, say=said.append)
    run = tracker.open(make_trial(config))
    log(run, ROWS[:4])
    kill_service()
    log(run, ROWS[4:])
    run.finish(Ending("completed", summary={"best/step": 3}))
    tracker.close()
    assert len(list((run_dir / "wandb").glob("offline-run-*"))) == 1
    sync(server, run_dir)
    (got,) = server.backend.runs.values()
    assert rows_of(got) == ALL and got.summary["best/step"] == 3 and "optuna/number" in got.summary


@pytest.mark.parametrize("started", [False, True], ids=["before the run is started", "after it"])
def test_a_run_starts_while_another_thread_starts_a_new_process_of_the_client(
    logged_in, make_config, make_trial, run_dir, said, monkeypatch, started
):
    """The thread that ends another run has found out first that the former process is gone."""
    config = make_config()
    tracker = open_tracker(config, run_dir, say=said.append)
    assert isinstance(tracker, WandbTracker)
    usual = wandb.init

    def init(**given: Any) -> wandb.Run:
        monkeypatch.setattr(wandb, "init", usual)
        run = usual(**given) if started else None
        kill_service()
        tracker.connection.service.renew_if_gone()
        if run is None:
            raise BrokenPipeError
        return run

    monkeypatch.setattr(wandb, "init", init)
    run = opened(tracker, make_trial(config))
    log(run, ROWS)
    run.finish(Ending("completed"))
    tracker.close()
    (got,) = logged_in.backend.runs.values()
    assert rows_of(got) == ALL and got.state == "finished" and len(said) == 1
    assert run.process == tracker.connection.service.number == 1


def test_an_alert_is_sent_by_a_new_process_of_the_client(logged_in, make_config, make_trial, run_dir):
    config = make_config(alerts=("best",))
    tracker = open_tracker(config, run_dir)
    run = opened(tracker, make_trial(config))
    kill_service()
    run.alert(Alert("best", "study: a new best trial", "trial 0"))
    log(run, ROWS)
    run.finish(Ending("completed"))
    tracker.close()
    assert [alert.title for alert in logged_in.backend.alerts] == ["study: a new best trial"]


def test_an_alert_opens_no_run_that_has_ended(logged_in, make_config, make_trial, run_dir):
    config = make_config(alerts=("best",))
    tracker = open_tracker(config, run_dir)
    assert isinstance(tracker, WandbTracker)
    run = opened(tracker, make_trial(config))
    run.finish(Ending("completed"))
    kill_service()
    tracker.connection.service.renew_if_gone()
    run.alert(Alert("best", "study: a new best trial", "trial 0"))
    (got,) = logged_in.backend.runs.values()
    assert (got.state, logged_in.backend.alerts) == ("finished", [])
    tracker.close()
