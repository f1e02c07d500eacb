"""Tracker config → `Tracker`. Imports the W&B client only if it is used."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sweep.config.schema import Config, TrackerConfig
from sweep.errors import Fault, UserError
from sweep.track.credentials import Client, netrc_path, read_client
from sweep.track.environment import resolved, switched_off, without_effect
from sweep.track.null import NullTracker
from sweep.track.patience import NeverStopped, Patience, Stop
from sweep.track.tracker import Say, Tracker

# The client's older words for the same modes, which it still takes.
_MODES = {"online": "online", "run": "online", "offline": "offline", "dryrun": "offline", "disabled": "disabled"}

_KEY = "tracker.mode"
_NOT_IN_PROJECT = "/\\#?%:"
_LONGEST_PROJECT, _LONGEST_TAG = 128, 64


@dataclass(frozen=True, slots=True)
class Mode:
    """`asked` tells a mode that someone chose from one that followed from what was found."""

    name: str
    asked: bool
    source: str


def open_tracker(config: Config, run_dir: Path, *, say: Say | None = None, stop: Stop | None = None) -> Tracker:
    """`say` takes single lines for the user; without it they go to standard error. After a `stop` no server is waited for
    but for a few seconds, or not at all.

    Raises UserError for every fault that `tracker_faults` knows, for a key that the server rejects where online mode
    was asked for, and for a port that is taken. A server that does not answer is no error: runs are kept offline.
    """
    say = say or _print
    if faults := tracker_faults(config):
        raise UserError(faults)
    client = read_client()
    mode = _mode(config.tracker, client)
    if config.tracker.name == "none" or mode.name == "disabled":
        if config.tracker.name == "wandb" and mode.source != _KEY:
            say(f"W&B: {mode.source} switches tracking off; the run directory has everything.")
        return NullTracker()
    for line in without_effect(config.tracker):
        say(line)
    config = config.model_copy(update={"tracker": resolved(config.tracker)})
    if config.tracker.name == "mock":
        from sweep.track.mock_tracker import MockTracker

        return MockTracker(config, run_dir, say=say, stop=stop)
    return _open_wandb(config, run_dir, client=client, mode=mode, say=say, stop=stop)


def described(tracker: TrackerConfig) -> str:
    """Where runs would be tracked, in words: what the environment says to `auto` counts. Starts and asks nothing."""
    if tracker.name == "none":
        return "none"
    mode = _mode(tracker, read_client())
    if mode.name == "disabled":
        return (
            f"none, for {mode.source} switches tracking off"
            if mode.source != _KEY
            else "none (tracker.mode is disabled)"
        )
    if tracker.name == "mock":
        return "mock, on this machine"
    said = "" if tracker.mode != "auto" else f", by {mode.source}" if mode.asked else f", for {_found(mode)}"
    return f"{tracker.name}, {_MODES.get(mode.name, mode.name)}{said}"


def _found(mode: Mode) -> str:
    return "there is a key" if mode.name == "online" else "no key was found"


def tracker_faults(config: Config) -> list[Fault]:
    """What is wrong with the tracker's settings, the machine's credentials for it included. Starts and asks nothing."""
    tracker = config.tracker
    if tracker.name == "none" or tracker.mode == "disabled":
        return []
    faults = list(_name_faults(tracker, resolved(tracker)))
    if tracker.name == "mock":
        if tracker.mode == "offline":
            faults.append(Fault("tracker.mode", "is offline, but the mock backend is streamed to; use auto"))
        return faults
    client = read_client()
    mode = _mode(tracker, client)
    if mode.name not in _MODES.values():
        rule = f"is auto, and {mode.source} says {mode.name!r}, but it must say one of: online, offline, disabled"
        faults.append(Fault("tracker.mode", rule))
    if mode.name == "online" and client.base_url and urlsplit(client.base_url).scheme not in ("http", "https"):
        faults.append(Fault("tracker.mode", "needs WANDB_BASE_URL to be an http:// or https:// address"))
    if mode.name == "online" and mode.asked and (trouble := _account_trouble(client)):
        set_by = "" if mode.source == _KEY else f" (set by {mode.source})"
        faults.append(Fault("tracker.mode", f"is online{set_by}, but {trouble}; run `wandb login`, or use offline"))
    return faults


def _open_wandb(config: Config, run_dir: Path, *, client: Client, mode: Mode, say: Say, stop: Stop | None) -> Tracker:
    from sweep.track.wandb_tracker import WandbTracker

    trouble = _account_trouble(client)
    online = mode.name == "online" and not trouble
    if client.account and trouble and mode.name == "online":
        say(f"W&B: {trouble}. Runs are kept offline.")
    patience = Patience(config.tracker.max_wait, stop or NeverStopped())
    tracker = WandbTracker(config, run_dir, account=client.account if online else None, say=say, patience=patience)
    if rejected := tracker.sign_in():
        if mode.asked:
            rule = f"is online, but {rejected}; run `wandb login --relogin`, or use offline"
            raise UserError.of("tracker.mode", rule)
        say(f"W&B: {rejected}. Runs are kept offline.")
        tracker.go_offline()
    return tracker


def _mode(tracker: TrackerConfig, client: Client) -> Mode:
    if tracker.mode != "auto" or tracker.name != "wandb":
        return Mode(tracker.mode, True, _KEY)
    if off := switched_off():
        return Mode("disabled", True, off)
    if client.mode:
        return Mode(_MODES.get(client.mode, client.mode), True, client.mode_source)
    return Mode("online" if client.account else "offline", False, "the credentials found")


def _account_trouble(client: Client) -> str | None:
    if client.account is None:
        host = urlsplit(client.base_url).netloc or "W&B"
        return f"there is no key for {host} in WANDB_API_KEY or {netrc_path()}"
    return client.account.problem


def _name_faults(given: TrackerConfig, tracker: TrackerConfig) -> list[Fault]:
    """Of the project and the tags as they are used: those of the environment where the config has none."""
    faults = []
    name = tracker.project or ""
    project_from = "" if given.project else "WANDB_PROJECT"
    tags_from = "" if given.tags else "WANDB_TAGS"
    if not 1 <= len(name) <= _LONGEST_PROJECT or set(name) & set(_NOT_IN_PROJECT):
        rule = f"is {name!r}, but must have 1 to {_LONGEST_PROJECT} characters, none of them in {_NOT_IN_PROJECT}"
        faults.append(Fault("tracker.project", rule, project_from))
    for tag in tracker.tags:
        if not re.fullmatch(rf".{{1,{_LONGEST_TAG}}}", tag):
            faults.append(
                Fault("tracker.tags", f"holds {tag!r}, but a tag must have 1 to {_LONGEST_TAG} characters", tags_from)
            )
    return faults


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
