"""The study's own run on W&B: the real client against a server, read back as `wandb.Api` does."""

from __future__ import annotations

import getpass
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wandb

from sweep.config.schema import Config
from sweep.provenance import DataState, GitState, ModelState
from sweep.records.lock import Lock
from sweep.records.store import Store
from sweep.records.trial import Step
from sweep.track import wandb_tracker
from sweep.track.open import open_tracker
from sweep.track.study_run import StudyRun
from sweep.track.tracker import PUT_AWAY, Alert, Chart, Ending, Tracker
from sweep.track.wandb_run import WandbRun
from sweep.track.wandb_tracker import WandbTracker
from wandb_mock import MockServer
from wandb_mock.faults import Fault
from wandb_mock.records import Run as Received

from .conftest import received
from .test_resume import TENSORBOARD, die, kill_service, sync

KEY = "a1b2c3d4" * 5


@pytest.fixture
def locked(store: Store, make_config: Callable[..., Config]) -> Lock:
    """The lock of a study whose command holds a key."""
    command = f"python -m sweep +experiment=quickstart 'title=my study' dataset.path={KEY}"
    lock = Lock(
        experiment="e", config=make_config(), space={}, command=command, seeds={}, versions={"torch": "2.13.0"},
        machine={"python": "3.11.7", "system": "Linux", "cpu": "a cpu"}, git=GitState("c0ffee" * 6, dirty=True),
        data=DataState("rows.csv", "", "f", {"train": 4}, ("a", "b")), model=ModelState("m", "", "f"), created="then",
    )  # fmt: skip
    store.write_lock(lock)
    return lock


class Clock:
    """Each look is a second later."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def study_run(tracker: Tracker, store: Store, config: Config) -> StudyRun:
    return StudyRun(tracker, store, config, rows=100, clock=Clock())


def seconds(run: Received) -> list[int]:
    return [row["study/seconds"] for row in run.history if "study/trials_ended" in row]


def kept(store: Store) -> list[int]:
    from sweep.records.events import read_rows

    return [row.step for row in read_rows(store.study_dir) if row.metrics]


RESULTS = Ending(
    "completed",
    summary={"test/accuracy": 0.8, "study/best_trial": 3},
    tables={"mistakes": [{"row": "7", "text": "not good", "label": "good", "predicted": "bad", "confidence": 0.99}]},
    charts=(
        Chart("study/importance", "Importance", "bars", [{"key": "optimizer.learning_rate", "importance": 0.9}]),
        Chart("confusion_matrix", "Test split", "confusion", [
            {"true": true, "predicted": predicted, "rows": rows}
            for true, predicted, rows in (("a", "a", 5), ("a", "b", 1), ("b", "a", 0), ("b", "b", 4))
        ]),
    ),
)  # fmt: skip


def test_it_streams_while_trials_run_and_has_the_results_at_the_end(logged_in, make_config, store, run_dir, tmp_path):
    config = make_config()
    tracker = open_tracker(config, run_dir, say=pytest.fail)
    run = study_run(tracker, store, config)
    run.open()
    run.write()
    got = received(logged_in, "tiny-study")
    assert (got.job_type, got.group, got.state) == ("study", "tiny", "running")
    page = tmp_path / "report.html"
    page.write_text("<html><body>the report</body></html>")
    run.finish(
        Ending(
            RESULTS.state, RESULTS.exit_code, RESULTS.summary, tables=RESULTS.tables, charts=RESULTS.charts, page=page
        )
    )
    tracker.close()
    read = wandb.Api(overrides={"base_url": logged_in.url}, api_key=logged_in.api_key).run(f"mock/sweep/{got.id}")
    assert (read.state, read.summary["state"], read.summary["study/best_trial"]) == ("finished", "completed", 3)
    rows = list(read.scan_history(keys=["study/seconds", "study/trials_ended"]))
    assert [row["study/seconds"] for row in rows] == kept(store)
    tables = {
        name: _table(read, name, tmp_path) for name in ("mistakes", "study/importance_table", "confusion_matrix_table")
    }
    assert tables["mistakes"]["data"] == [["7", "not good", "good", "bad", 0.99]]
    assert tables["study/importance_table"]["data"] == [["optimizer.learning_rate", 0.9]]
    assert tables["confusion_matrix_table"]["columns"] == ["Actual", "Predicted", "nPredictions"]
    assert tables["confusion_matrix_table"]["data"][1] == ["a", "b", 1]
    shown = got.raw_config["_wandb"]["value"]["visualize"]
    assert shown["confusion_matrix"]["panel_config"]["panelDefId"] == "wandb/confusion_matrix/v1"
    assert shown["study/importance"]["panel_config"]["panelDefId"] == "wandb/bar/v0"
    with read.file(read.summary["report"]["path"]).download(str(tmp_path / "read")) as report:
        assert "the report" in report.read()


def _table(run: Any, name: str, folder: Path) -> Any:
    with run.file(run.summary[name]["path"]).download(str(folder / "read")) as file:
        return json.load(file)


def test_the_overview_shows_command_commit_and_versions_and_nothing_of_the_machines_user(
    logged_in, make_config, store, run_dir, locked
):
    config = make_config(system_metrics=False)
    tracker = open_tracker(config, run_dir, say=pytest.fail)
    study_run(tracker, store, config).finish(Ending("completed"))
    tracker.close()
    got = received(logged_in, "tiny-study")
    assert (got.commit, got.program, got.events) == ("c0ffee" * 6, "-m sweep", [])
    about = got.config["lock"]
    assert (about["versions"], about["dirty"]) == ({"torch": "2.13.0"}, True)
    read = wandb.Api(overrides={"base_url": logged_in.url}, api_key=logged_in.api_key).run(f"mock/sweep/{got.id}")
    assert read.metadata["args"] == ["+experiment=quickstart", "title=my study", "dataset.path=***"]
    assert (read.metadata["program"], read.metadata["git"]) == ("-m sweep", {"commit": "c0ffee" * 6})
    files = "".join(
        path.read_text(errors="replace") for path in logged_in.backend.disk.run(got.key).rglob("*") if path.is_file()
    )
    for leaked in (KEY, socket.gethostname(), str(Path.home()), str(run_dir / "wandb")):
        assert leaked not in files.replace(str(config.run_dir), "")
    assert f'"{getpass.getuser()}"' not in files and got.host == ""


def test_the_study_alone_has_the_metrics_of_the_machine(make_config, make_trial, store, run_dir, said):
    config = make_config("mock")
    tracker = open_tracker(config, run_dir, say=said.append)
    run = study_run(tracker, store, config)
    run.open()
    trial = tracker.open(make_trial(config))
    deadline = time.monotonic() + 30
    own = tracker.server.backend.runs  # type: ignore[attr-defined]
    while time.monotonic() < deadline and not any("system.cpu" in row for one in own.values() for row in one.events):
        time.sleep(0.1)
    trial.finish(Ending("completed"))
    run.finish(Ending("completed"))
    tracker.close()
    found = {one.display_name: one.events for one in own.values()}
    assert any("system.cpu" in row for row in found["tiny-study"]) and found["tiny-0000"] == []
    assert {one.host for one in own.values()} == {""}


@pytest.mark.parametrize("ended", [False, True])
def test_it_goes_on_after_a_kill_without_a_row_lost_or_doubled(logged_in, make_config, store, run_dir, said, ended):
    config = make_config()
    first = open_tracker(config, run_dir, say=said.append)
    run = study_run(first, store, config)
    run.open()
    run.write()
    if ended:  # then more trials were wanted
        run.finish(RESULTS)
        run.open()
        run.write()
    die(first)
    run.store.study_dir.joinpath("events.jsonl").open("a").close()
    second = open_tracker(config, run_dir, say=said.append)
    again = study_run(second, store, config)
    again.open()
    again.write()
    again.finish(RESULTS)
    second.close()
    (got,) = logged_in.backend.runs.values()
    assert seconds(got) == kept(store) and len(kept(store)) >= 5
    assert (got.state, got.summary["state"], got.summary["test/accuracy"]) == ("finished", "completed", 0.8)
    assert said == [] and not list(run_dir.glob(".open_runs/*"))


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("before", ["_describe", "_attach", "_close"])
def test_its_end_arrives_where_the_process_of_the_client_is_killed_meanwhile(
    logged_in, make_config, store, run_dir, said, tmp_path, monkeypatch, before, times
):
    config = make_config()
    tracker = open_tracker(config, run_dir, say=said.append)
    run = study_run(tracker, store, config)
    run.open()
    run.write()
    step, left = getattr(WandbRun, before), iter(range(times))

    def killed(self: WandbRun, *args: Any, **options: Any) -> object:
        if next(left, None) is not None:
            kill_service()
        return step(self, *args, **options)

    monkeypatch.setattr(WandbRun, before, killed)
    run.finish(RESULTS)
    tracker.close()
    (got,) = logged_in.backend.runs.values()
    assert seconds(got) == kept(store)
    assert (got.state, got.summary["state"], got.job_type) == ("finished", "completed", "study")
    read = wandb.Api(overrides={"base_url": logged_in.url}, api_key=logged_in.api_key).run(f"mock/sweep/{got.id}")
    assert _table(read, "mistakes", tmp_path)["data"] == [["7", "not good", "good", "bad", 0.99]]
    assert len(said) == times and not list(run_dir.glob(".open_runs/*"))


@pytest.mark.slow
def test_a_run_whose_start_the_client_did_not_send_has_it_in_its_new_process(
    logged_in, make_config, make_trial, run_dir, said
):
    config = make_config()
    tracker = open_tracker(config, run_dir, say=said.append)
    prepare, left = wandb_tracker._prepare, iter([1])

    def killed(*args: Any) -> None:
        if next(left, None) is not None:
            kill_service()
        prepare(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wandb_tracker, "_prepare", killed)
        run = tracker.open(make_trial(config, 4))
    run.log(1, {"train/loss": 0.5})
    run.finish(Ending("completed", summary={}))
    tracker.close()
    (got,) = logged_in.backend.runs.values()
    assert (got.state, got.summary["optuna/number"], len(got.history)) == ("finished", 4, 1)


def test_rows_that_did_not_arrive_before_a_kill_are_sent_later(logged_in, make_config, store, run_dir, said):
    config = make_config()
    first = open_tracker(config, run_dir, say=said.append)
    run = study_run(first, store, config)
    run.open()
    run._keep(Step(5, 0, 0.0, {"study/trials_ended": 2.0}))  # the process dies before the client has the row
    die(first)
    second = open_tracker(config, run_dir, say=said.append)
    study_run(second, store, config).open()
    second.close()
    (got,) = logged_in.backend.runs.values()
    assert seconds(got) == kept(store) and len(kept(store)) >= 3
    assert (got.summary["state"], got.exit_code) == ("interrupted", 130)


def test_offline_it_is_one_folder_that_is_uploaded_whole(server, make_config, store, run_dir, said):
    config = make_config(mode="offline")
    for last in (False, False, True):
        tracker = open_tracker(config, run_dir, say=said.append)
        run = study_run(tracker, store, config)
        run.open()
        if last:
            run.finish(RESULTS)
        tracker.close()
        (folder,) = (run_dir / "wandb").glob("offline-run-*")
        assert str(folder) == store.study_address()
    sync(server, run_dir)
    (got,) = server.backend.runs.values()
    assert seconds(got) == kept(store) and len(kept(store)) >= 3
    assert got.summary["state"] == "completed" and "mistakes" in got.summary


def test_a_server_that_is_away_gets_it_whole_later(logged_in, make_config, store, run_dir, said, tmp_path):
    config = make_config()
    tracker = open_tracker(config, run_dir, say=said.append)
    run = study_run(tracker, store, config)
    run.open()
    tracker.close()
    logged_in.close()
    tracker = open_tracker(config, run_dir, say=said.append)
    run = study_run(tracker, store, config)
    run.finish(RESULTS)
    tracker.close()
    assert "offline-run-" in store.study_address() and "does not answer" in said[0]
    with MockServer(tmp_path / "elsewhere") as back:
        sync(back, run_dir)
        (got,) = back.backend.runs.values()
        assert seconds(got) == kept(store) and got.summary["state"] == "completed"


def test_alerts_of_the_wanted_kinds_are_sent(logged_in, make_config, store, run_dir, said):
    config = make_config(alerts=("end", "failures"))
    tracker = open_tracker(config, run_dir, say=said.append)
    run: Any = tracker.open_study(config)
    for kind in ("best", "failures", "end"):
        run.alert(Alert(kind, f"tiny: {kind}", "with hf_abcdefghijklmnopqrstuvwxyz", "WARN", quiet=60))
    run.finish(Ending("completed"))
    tracker.close()
    found = [(alert.title, alert.text, alert.level) for alert in logged_in.backend.alerts]
    assert found == [("tiny: failures", "with ***", "WARN"), ("tiny: end", "with ***", "WARN")] and said == []


def test_a_server_that_refuses_an_alert_costs_one_line(logged_in, make_config, store, run_dir, said):
    logged_in.faults.add(Fault.error(400, times=9, match="NotifyScriptableRunAlert"))
    config = make_config(alerts=("end",))
    tracker = open_tracker(config, run_dir, say=said.append)
    study_run(tracker, store, config).finish(RESULTS)
    tracker.close()
    assert [line for line in said if "took no alert of tiny-study" in line] == said and len(said) == 1
    got = received(logged_in, "tiny-study")
    assert got.state == "finished" and seconds(got) == kept(store)


def test_the_run_that_ends_the_study_forgets_runs_that_nobody_goes_on_with(
    logged_in, make_config, make_trial, store, run_dir
):
    config = make_config()
    first = open_tracker(config, run_dir)
    lost = first.open(make_trial(config))
    die(first)
    for ending, left in ((PUT_AWAY, True), (Ending("failed"), True), (Ending("completed"), False)):
        second = open_tracker(config, run_dir)
        assert isinstance(second, WandbTracker) and second.left_open(lost.address)
        second.open_study(config).finish(ending)
        second.close()
        assert any(lost.address.endswith(mark.name) for mark in run_dir.glob(".open_runs/*")) is left


def test_several_trackers_get_the_same_run(logged_in, make_config, store, run_dir, said):
    from sweep.track.tensorboard_tracker import written_steps

    config = make_config(also=TENSORBOARD)
    for last in (False, True):
        tracker = open_tracker(config, run_dir, say=said.append)
        run = study_run(tracker, store, config)
        run.open()
        run.write()
        if last:
            run.finish(RESULTS)
        tracker.close()
    (got,) = logged_in.backend.runs.values()
    assert seconds(got) == kept(store) and len(kept(store)) >= 3
    assert written_steps(run_dir / "tensorboard" / "study")["study/trials_ended"] == set(kept(store)) and said == []
