"""The choice of tracker, mode and credentials, and the faults if there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sweep.errors import UserError
from sweep.track.faults import tracker_faults
from sweep.track.mode import described
from sweep.track.null import NullTracker
from sweep.track.open import open_tracker
from sweep.track.tracker import Ending
from sweep.track.wandb_tracker import WandbTracker

KEY = "a1b2c3d4" * 5


def is_online(tracker: object) -> bool:
    assert isinstance(tracker, WandbTracker)
    return tracker.connection.may_ask() and tracker.connection.answers()


@pytest.mark.parametrize(("name", "mode"), [("none", "auto"), ("wandb", "disabled"), ("mock", "disabled")])
def test_switched_off(make_config, make_trial, run_dir, name, mode):
    config = make_config(name, mode=mode)
    tracker = open_tracker(config, run_dir)
    assert isinstance(tracker, NullTracker)
    run = tracker.open(make_trial(config))
    run.log(1, {"train/loss": 1.0})
    run.finish(Ending("completed"))
    tracker.open_study(config).finish(Ending("completed"))
    assert (run.address, tracker.close()) == ("", ())
    assert not run_dir.exists()


def test_auto_without_credentials_is_offline_and_asks_nothing(make_config, run_dir, said, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked the user"))
    assert tracker_faults(make_config()) == []
    tracker = open_tracker(make_config(), run_dir, say=said.append)
    assert not is_online(tracker) and said == []
    tracker.close()


def test_auto_with_a_key_in_the_environment_is_online(make_config, run_dir, logged_in):
    tracker = open_tracker(make_config(), run_dir)
    assert is_online(tracker)
    tracker.close()


def test_auto_with_a_key_in_netrc_is_online(make_config, make_trial, run_dir, server, monkeypatch):
    host = server.url.removeprefix("http://")
    Path.home().joinpath("netrc").write_text(f"machine {host}\n  login user\n  password {KEY}\n")
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    tracker = open_tracker(make_config(), run_dir)
    tracker.open(make_trial(make_config())).finish(Ending("completed"))
    tracker.close()
    assert len(server.backend.runs) == 1


def test_the_settings_that_wandb_login_writes_are_read(make_config, make_trial, run_dir, server):
    folder = Path.home() / ".config/wandb"
    folder.mkdir(parents=True)
    folder.joinpath("settings").write_text(f"[default]\nbase_url = {server.url}\n")
    host = server.url.removeprefix("http://")
    Path.home().joinpath("netrc").write_text(f"machine {host}\n  login user\n  password {KEY}\n")
    tracker = open_tracker(make_config(), run_dir)
    tracker.open(make_trial(make_config())).finish(Ending("completed"))
    tracker.close()
    assert len(server.backend.runs) == 1


def test_a_key_for_another_host_is_no_key(make_config, run_dir, server, monkeypatch):
    Path.home().joinpath("netrc").write_text(f"machine elsewhere.example\n  login user\n  password {KEY}\n")
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    tracker = open_tracker(make_config(), run_dir)
    assert not is_online(tracker)
    tracker.close()


def test_a_netrc_that_is_no_text_holds_no_key(make_config, run_dir):
    Path.home().joinpath("netrc").write_bytes(b"machine api.wandb.ai\n  login user\n  password \xe9\n")
    tracker = open_tracker(make_config(), run_dir)
    assert not is_online(tracker)
    tracker.close()


def test_wandb_mode_counts_in_auto_alone(make_config, run_dir, logged_in, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    for mode, online in (("auto", False), ("online", True)):
        tracker = open_tracker(make_config(mode=mode), run_dir)
        assert is_online(tracker) is online
        tracker.close()
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert isinstance(open_tracker(make_config(), run_dir), NullTracker)


def test_wandb_offline_in_the_settings_file_counts(make_config, run_dir, logged_in):
    folder = Path.home() / ".config/wandb"
    folder.mkdir(parents=True)
    folder.joinpath("settings").write_text("[default]\nmode = offline\n")
    tracker = open_tracker(make_config(), run_dir)
    assert not is_online(tracker)
    tracker.close()


def test_online_without_credentials_is_a_fault_before_anything_starts(make_config, run_dir, monkeypatch):
    (fault,) = tracker_faults(make_config(mode="online"))
    assert fault.path == "tracker.mode" and "wandb login" in fault.message and "WANDB_API_KEY" in fault.message
    with pytest.raises(UserError):
        open_tracker(make_config(mode="online"), run_dir)
    assert not run_dir.exists()
    monkeypatch.setenv("WANDB_MODE", "online")
    assert "WANDB_MODE" in tracker_faults(make_config())[0].message


def test_a_malformed_key_is_a_fault_online_and_a_line_in_auto(make_config, run_dir, said, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "too-short-for-a-key")
    (fault,) = tracker_faults(make_config(mode="online"))
    assert "WANDB_API_KEY" in fault.message and "40" in fault.message and "too-short" not in fault.message
    assert tracker_faults(make_config()) == []
    tracker = open_tracker(make_config(), run_dir, say=said.append)
    assert not is_online(tracker)
    assert len(said) == 1 and "40" in said[0] and "too-short" not in said[0]
    tracker.close()


def test_a_key_that_the_server_rejects_is_a_fault_online_and_a_line_in_auto(make_config, run_dir, said, logged_in):
    from wandb_mock.faults import Fault

    logged_in.faults.add(Fault.error(401, times=2, match="Viewer"))
    with pytest.raises(UserError) as caught:
        open_tracker(make_config(mode="online"), run_dir, say=said.append)
    assert "rejects the key in WANDB_API_KEY" in str(caught.value) and logged_in.api_key not in str(caught.value)
    tracker = open_tracker(make_config(), run_dir, say=said.append)
    assert not is_online(tracker)
    assert len(said) == 1 and "rejects the key" in said[0]
    tracker.close()


def test_every_fault_at_once(make_config, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "sometimes")
    config = make_config(project="a/b", tags=("", "fine", "x" * 65))
    assert [fault.path for fault in tracker_faults(config)] == [
        "tracker.project", "tracker.tags", "tracker.tags", "tracker.mode",
    ]  # fmt: skip
    assert [fault.path for fault in tracker_faults(make_config("mock", mode="offline"))] == ["tracker.mode"]


def test_the_client_is_imported_only_to_track():
    code = (
        "import sys, sweep.track.open as o; from sweep.config.schema import Config;"
        "o.tracker_faults(Config()); o.open_tracker(Config.model_validate({'tracker': {'name': 'none'}}), None);"
        "assert not {'wandb', 'torch'} & set(sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=environment)


def test_a_plan_says_what_auto_comes_to(make_config, logged_in, monkeypatch):
    def shown(name: str = "wandb", **tracker: str) -> str:
        return described(make_config(name, **tracker).tracker)

    assert shown() == "wandb, online, for there is a key"
    assert shown("none") == "none" and shown(mode="disabled") == "none (tracker.mode is disabled)"
    assert shown(mode="offline") == "wandb, offline" and shown("mock") == "mock, on this machine"
    monkeypatch.setenv("WANDB_MODE", "dryrun")
    assert shown() == "wandb, offline, by WANDB_MODE"
    monkeypatch.setenv("WANDB_DISABLED", "true")
    assert shown() == "none, for WANDB_DISABLED=true switches tracking off"
    assert shown(mode="offline") == "wandb, offline"
    monkeypatch.delenv("WANDB_DISABLED")
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.delenv("WANDB_API_KEY")
    assert shown() == "wandb, offline, for no key was found"
