"""W&B's own environment variables: they count where the config names nothing, or a line says that
they do not."""

from __future__ import annotations

import pytest

from sweep.track.environment import resolved, without_effect
from sweep.track.faults import tracker_faults
from sweep.track.null import NullTracker
from sweep.track.open import open_tracker
from sweep.track.tracker import Ending


@pytest.mark.parametrize(
    ("name", "value"),
    [("WANDB_DISABLED", "true"), ("WANDB_DISABLED", "1"), ("WANDB_DISABLED", "Yes"), ("WANDB_MODE", "disabled")],
)
def test_tracking_is_switched_off_and_said(make_config, run_dir, logged_in, said, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert tracker_faults(make_config()) == []
    assert isinstance(open_tracker(make_config(), run_dir, say=said.append), NullTracker)
    assert len(said) == 1 and name in said[0] and "switches tracking off" in said[0]


@pytest.mark.parametrize("value", ["", "false", "0", "no"])
def test_not_disabled_is_not_disabled(make_config, run_dir, logged_in, said, monkeypatch, value):
    monkeypatch.setenv("WANDB_DISABLED", value)
    tracker = open_tracker(make_config(), run_dir, say=said.append)
    assert not isinstance(tracker, NullTracker) and said == []
    tracker.close()


@pytest.mark.parametrize(("name", "mode"), [("mock", "auto"), ("wandb", "offline")])
def test_a_typed_value_wins_over_the_environment_with_a_note(make_config, run_dir, said, monkeypatch, name, mode):
    monkeypatch.setenv("WANDB_DISABLED", "true")
    tracker = open_tracker(make_config(name, mode=mode), run_dir, say=said.append)
    assert not isinstance(tracker, NullTracker)
    assert "WANDB_DISABLED=true has no effect" in said[0] and "type tracker=none" in said[0]
    tracker.close()


def test_project_entity_tags_and_notes_are_taken(make_config, make_trial, run_dir, logged_in, said, monkeypatch):
    values = {"PROJECT": "intents", "ENTITY": "team", "TAGS": "a, b", "NOTES": "with hf_abcdefghijklmnopqrstuvwxyz"}
    for name, value in values.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    tracker = open_tracker(make_config(tags=()), run_dir, say=said.append)
    tracker.open(make_trial(make_config())).finish(Ending("completed"))
    tracker.close()
    (run,) = logged_in.backend.runs.values()
    assert (run.entity, run.project, set(run.tags), run.notes) == (
        "team",
        "intents",
        {"a", "b", "completed"},
        "with ***",
    )
    assert said == []


def test_the_config_comes_first_and_that_is_said(make_config):
    named = make_config(project="mine", entity="me").tracker
    environment = {"WANDB_PROJECT": "intents", "WANDB_ENTITY": "me", "WANDB_TAGS": "x"}
    assert resolved(named, environment) == named
    assert list(without_effect(named, environment)) == [
        "note: WANDB_PROJECT=intents has no effect: tracker.project is mine",
        "note: WANDB_TAGS=x has no effect: tracker.tags is unit",
    ]
    assert resolved(make_config().tracker, {}).project == "sweep"


@pytest.mark.parametrize(
    "name", ["NAME", "RUN_GROUP", "DIR", "JOB_TYPE", "RUN_ID", "RESUME", "SWEEP_ID", "LOG_MODEL", "WATCH"]
)
def test_a_variable_without_effect_is_reported(make_config, name):
    (line,) = without_effect(make_config().tracker, {f"WANDB_{name}": "x"})
    assert line.startswith(f"note: WANDB_{name}=x has no effect: ")


def test_a_project_of_the_environment_is_checked_too(make_config, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "a/b")
    monkeypatch.setenv("WANDB_TAGS", "x" * 65)
    faults = tracker_faults(make_config(tags=()))
    assert [(fault.path, fault.origin) for fault in faults] == [
        ("tracker.project", "WANDB_PROJECT"), ("tracker.tags", "WANDB_TAGS"),
    ]  # fmt: skip
