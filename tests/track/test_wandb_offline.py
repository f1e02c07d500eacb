"""The real client without a server, and with one that fails: rows are kept, the user is informed, and
the study goes on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sweep.track.open import open_tracker
from sweep.track.tracker import Ending, trial_ending
from sweep.track.wandb_run import WandbRun
from sweep.track.wandb_tracker import WandbTracker
from wandb_mock import MockServer

from .conftest import received


def test_offline_says_how_to_look_and_to_upload(make_config, make_trial, train, run_dir, said, monkeypatch):
    monkeypatch.chdir(run_dir.parent)
    config = make_config(mode="offline")
    tracker = open_tracker(config, run_dir, say=said.append)
    trial = make_trial(config)
    run = tracker.open(trial)
    run.finish(trial_ending(train(trial, run), config.study))
    closing = tracker.close()
    assert Path(run.address).parent == run_dir / "wandb"
    assert closing == (
        "W&B: 1 trial run, 4 rows kept offline in run/wandb",
        "  look:   wandb leet run/wandb",
        "  upload: wandb sync run/wandb/offline-run-*",
    )
    assert said == []


def test_a_server_that_is_down_at_the_start_means_offline_and_one_loud_line(
    logged_in, make_config, make_trial, train, run_dir, said
):
    logged_in.close()
    config = make_config(mode="online")
    tracker = open_tracker(config, run_dir, say=said.append)
    for number in (0, 1):
        trial = make_trial(config, number)
        run = tracker.open(trial)
        run.finish(trial_ending(train(trial, run), config.study))
    closing = tracker.close()
    assert len([line for line in said if "does not answer" in line]) == 1
    assert any("wandb sync" in line and "offline-run-*" in line for line in said)
    assert "2 trial runs, 8 rows kept offline" in closing[0]
    assert len(list((run_dir / "wandb").glob("offline-run-*/*.wandb"))) == 2


def test_runs_go_online_again_once_the_server_is_back(logged_in, make_config, make_trial, run_dir, said):
    config = make_config()
    tracker = open_tracker(config, run_dir, say=said.append)
    tracker.open(make_trial(config, 0)).finish(Ending("completed"))
    port = int(logged_in.url.rsplit(":", 1)[1])
    assert isinstance(tracker, WandbTracker)
    tracker.doubt("something went wrong")
    logged_in.close()
    tracker.open(make_trial(config, 1)).finish(Ending("completed"))
    with MockServer(logged_in.backend.disk.folder, port=port) as back:
        tracker.open(make_trial(config, 2)).finish(Ending("completed"))
        assert {run.display_name for run in back.backend.runs.values()} == {"tiny-0000", "tiny-0002"}
    tracker.close()
    assert any("answers again" in line for line in said)


def test_a_server_that_dies_midway_costs_one_time_limit_and_nothing_else(
    logged_in, make_config, make_trial, train, store, run_dir, said
):
    config = make_config(finish_timeout=2.0)
    tracker = open_tracker(config, run_dir, say=said.append)
    trial = make_trial(config)
    run = tracker.open(trial)
    logged_in.close()
    record = train(trial, run)
    began = time.monotonic()
    run.finish(trial_ending(record, config.study))
    next_run = tracker.open(make_trial(config, 1))
    next_run.finish(Ending("completed"))
    closing = tracker.close()
    assert time.monotonic() - began < 20  # it would wait for ever
    assert store.trials() == [record] and len(store.events(0)) == 4
    assert any("did not take all of tiny-0000 within 2 s" in line for line in said)
    assert any("1 trial run, 0 rows kept offline" in line for line in closing)
    assert isinstance(run, WandbRun)
    assert any("wandb sync --include-online" in line and run.folder.name in line for line in closing)


def test_a_client_whose_service_is_killed_loses_no_row(logged_in, make_config, run_dir, tmp_path):
    """The client talks to a service process of its own, which a machine short of memory may
    kill."""
    script = tmp_path / "study.py"
    script.write_text(
        "import psutil, sys\n"
        "from pathlib import Path\n"
        "from sweep.config.schema import Config\n"
        "from sweep.records.trial import TrialPlan\n"
        "from sweep.track.open import open_tracker\n"
        "from sweep.track.tracker import Ending\n"
        "config = Config.model_validate_json(sys.argv[1])\n"
        "tracker = open_tracker(config, Path(config.run_dir))\n"
        "run = tracker.open(TrialPlan(0, {}, config, 1, ''))\n"
        "for child in psutil.Process().children():\n"
        "    child.kill()\n"
        "    child.wait()\n"
        "for step in range(3):\n"
        "    run.log(step, {'train/loss': 1.0})\n"
        "run.finish(Ending('completed'))\n"
        "second = tracker.open(TrialPlan(1, {}, config, 1, ''))\n"
        "second.log(1, {'train/loss': 1.0})\n"
        "second.finish(Ending('completed'))\n"
        "print(tracker.close())\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(script), make_config().model_dump_json()]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("a new one is started") == 1
    assert "2 trial runs, 4 rows" in done.stdout
    assert [len(run.history) for run in logged_in.backend.runs.values()] == [3, 1]


@pytest.mark.slow
def test_the_printed_commands_upload_and_show(logged_in, make_config, make_trial, train, run_dir, said, tmp_path):
    config = make_config(finish_timeout=2.0)
    tracker = open_tracker(config, run_dir, say=said.append)
    cut = tracker.open(make_trial(config, 0))
    port = int(logged_in.url.rsplit(":", 1)[1])
    logged_in.close()
    cut.finish(trial_ending(train(make_trial(config, 0), cut), config.study))
    kept = tracker.open(make_trial(config, 1))
    kept.finish(trial_ending(train(make_trial(config, 1), kept), config.study))
    closing = tracker.close()
    with MockServer(tmp_path / "elsewhere", port=port) as back:
        for line in closing:
            if "wandb sync" in line:
                command = line.split(":", 1)[1].strip().replace("wandb ", f"{sys.executable} -m wandb ", 1)
                subprocess.run(command, shell=True, check=True, timeout=60)
        histories = {run.display_name: len(run.history) for run in back.backend.runs.values()}
        assert histories == {"tiny-0000": 4, "tiny-0001": 4}
        assert [received(back, name).exit_code for name in histories] == [0, 0]
    assert isinstance(kept, WandbRun)
    look = [sys.executable, "-m", "wandb", "leet", "inspect", "--summary", str(kept.folder)]
    shown = subprocess.run(look, capture_output=True, text=True, timeout=60)
    assert "best/eval/accuracy" in shown.stdout, shown.stderr
