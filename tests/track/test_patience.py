"""The time that a slow or failing server costs, and the runs that it does not take."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest

from sweep.study.signals import StopFlag
from sweep.track.open import open_tracker
from sweep.track.patience import USUAL, Patience
from sweep.track.tracker import Ending
from wandb_mock import MockServer
from wandb_mock.faults import Fault

from .conftest import received

MANY = 10**6


def test_a_slow_wait_counts_and_a_usual_one_does_not():
    patience = Patience(60)
    assert not patience.count(USUAL) and (patience.left, patience.paused) == (60, False)
    assert patience.count(USUAL + 1) and (patience.left, patience.paused) == (60 - USUAL - 1, True)
    assert patience.count(100) and patience.left == 0


def test_a_failure_counts_however_short_it_was():
    patience = Patience(60)
    assert patience.count(1, failed=True) and patience.left == 59 and patience.paused


def test_a_refused_connection_costs_nothing_and_is_asked_again_soon():
    patience = Patience(60)
    for _ in range(100):
        patience.count(0.0, failed=True)
    assert not patience.paused


def test_the_backend_of_this_process_is_always_waited_for():
    patience = Patience.endless(StopFlag())
    assert not patience.count(1e6) and patience.left == math.inf and not patience.paused


def test_a_signal_ends_a_wait_and_a_second_one_the_wait_after_it():
    stop = StopFlag(raised=True)
    done = Event()
    patience = Patience(60, stop)
    stop.at_once = True
    assert not patience.wait(done, math.inf)
    done.set()
    assert patience.wait(done, 0)


@pytest.fixture
def play(make_config, make_trial, run_dir, said):
    """Six runs of one row each, and what the tracker then says."""

    def study(stop=None, **tracker):
        opened = open_tracker(make_config(**tracker), run_dir, say=said.append, stop=stop)
        for number in range(6):
            run = opened.open(make_trial(make_config(**tracker), number))
            run.log(1, {"train/loss": 1.0})
            run.finish(Ending("completed"))
        return opened, opened.close()

    return study


@pytest.mark.slow
def test_a_server_that_answers_late_gets_one_try_and_the_others_are_kept_offline(logged_in, play, said, run_dir):
    logged_in.faults.add(Fault.late(3.1, times=MANY))
    tracker, closing = play()
    assert 0 < tracker.patience.lost < 60
    assert len([line for line in said if "is slow" in line]) == 1
    assert "kept offline" in closing[0]
    assert len(list((run_dir / "wandb").glob("offline-run-*"))) >= 5


def test_a_study_without_patience_asks_no_server(logged_in, play, said):
    _, closing = play(max_wait=0)
    assert not logged_in.backend.runs
    assert "6 trial runs, 6 rows kept offline" in closing[0]
    assert len([line for line in said if "tracker.max_wait" in line]) == 1


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_that_starts_with_errors_is_asked_again(logged_in, play, said, status):
    logged_in.faults.add(Fault.error(status, times=3, match="Viewer"))
    _, closing = play()
    assert [run.display_name for run in logged_in.backend.runs.values()] == [f"tiny-000{n}" for n in (2, 3, 4, 5)]
    assert f"does not answer (HTTP {status})" in said[0] and any("answers again" in line for line in said)


def test_an_error_without_a_text_says_its_status_and_is_no_end(logged_in, play, said):
    logged_in.faults.add(Fault.error(400, match="UpsertBucket"))
    play()
    assert "does not take runs (HTTP 400)" in said[0]
    assert "tiny-0005" in {run.display_name for run in logged_in.backend.runs.values()}


@pytest.mark.parametrize("status", [400, 413])
def test_rows_that_a_server_refuses_are_reported_and_can_be_sent_again(logged_in, play, said, tmp_path, status):
    logged_in.faults.add(Fault.error(status, match="tiny-0001"))
    _, closing = play()
    assert f"refused part of tiny-0001 for good (HTTP {status})" in said[0]
    assert closing[0].startswith("W&B: 5 trial runs, 5 rows at ")
    assert closing[1] == "W&B did not take all of tiny-0001"
    command = closing[2].partition(": ")[2]
    assert said[1].endswith(command)
    assert not received(logged_in, "tiny-0001").history
    upload(command)
    assert [row["train/loss"] for row in received(logged_in, "tiny-0001").history] == [1.0]


def upload(command: str) -> None:
    typed = command.replace("wandb ", f"{sys.executable} -m wandb ", 1)
    subprocess.run(typed, shell=True, check=True, timeout=60)


def test_folders_have_the_name_of_the_run(make_config, make_trial, run_dir):
    config = make_config(mode="offline")
    tracker = open_tracker(config, run_dir)
    run = tracker.open(make_trial(config, 3))
    run.finish(Ending("completed"))
    tracker.close()
    (folder,) = (run_dir / "wandb").glob("offline-run-*")
    assert "tiny-0003" in folder.name and str(folder) == run.address


def test_a_second_signal_waits_for_no_server_and_what_it_lacks_is_written(
    logged_in, make_config, make_trial, run_dir, tmp_path
):
    stop = StopFlag()
    config = make_config(finish_timeout=600.0, max_wait=600.0)
    tracker = open_tracker(config, run_dir, stop=stop)
    runs = [tracker.open(make_trial(config, number)) for number in (0, 1)]
    port = int(logged_in.url.rsplit(":", 1)[1])
    logged_in.close()
    for run in runs:
        run.log(1, {"train/loss": 1.0})
    stop.raised = True
    runs[0].finish(Ending("interrupted"))  # returns at once
    stop.at_once = True
    closing = tracker.close()
    assert "did not take all of tiny-0000, tiny-0001" in closing[0]
    with MockServer(tmp_path / "back", port=port) as back:
        upload(closing[1].partition(": ")[2])
        assert [len(received(back, f"tiny-000{number}").history) for number in (0, 1)] == [1, 1]


def test_a_stop_closes_all_runs_side_by_side(logged_in, make_config, make_trial, run_dir):
    stop = StopFlag()
    config = make_config()
    tracker = open_tracker(config, run_dir, stop=stop)
    runs = [tracker.open(make_trial(config, number)) for number in range(3)]
    stop.raised = True
    for run in runs:
        run.finish(Ending("interrupted"))
    closing = tracker.close()
    assert closing[0].startswith("W&B: 3 trial runs, 0 rows at ")
    assert {run.exit_code for run in logged_in.backend.runs.values()} == {130}
    assert Path(run_dir / "wandb").is_dir()
