"""Tracker config → `Tracker`. Imports the client of a tracker only if it is used."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from sweep.config.folders import conf_dir
from sweep.config.schema import Config, Section, TrackerConfig
from sweep.errors import Fault, UserError, closest
from sweep.records.store import Store
from sweep.track.addresses import WANDB
from sweep.track.arrivals import Arrivals, compare
from sweep.track.beside import BesideTracker
from sweep.track.credentials import Client, netrc_path, read_client
from sweep.track.environment import resolved, switched_off, without_effect
from sweep.track.mock_settings import MockSettings
from sweep.track.null import NullTracker
from sweep.track.patience import NeverStopped, Patience, Stop
from sweep.track.plugin import load, plugin_faults, setting_faults, settings
from sweep.track.several import SeveralTrackers
from sweep.track.tracker import Say, Tracker

# The client's older words for the same modes, which it still takes.
_MODES = {"online": "online", "run": "online", "offline": "offline", "dryrun": "offline", "disabled": "disabled"}

# Trackers without a class of their own to name, and the keys that they have beside those of `TrackerConfig`.
_BUILT_IN: Mapping[str, type[Section]] = {"wandb": Section, "mock": MockSettings, "none": Section}

_KEY = "tracker.mode"
_NOT_IN_PROJECT = "/\\#?%:"
_LONGEST_PROJECT, _LONGEST_TAG = 128, 64


@dataclass(frozen=True, slots=True)
class Mode:
    """`asked` tells a mode that someone chose from one that followed from what was found."""

    name: str
    asked: bool
    source: str


@contextmanager
def tracked(
    config: Config, store: Store, *, say: Say | None = None, stop: Stop | None = None, at_end: Say | None = None
) -> Iterator[Tracker]:
    """Open the tracker as `open_tracker` does. At the end, close it and tell the user what arrived: by `at_end`, else by `say`.

    With `tracker=mock`, what its server received is compared with the run directory then. Raises SystemExit(1) where
    something is missing there, and UserError as `open_tracker`.
    """
    say = say or _print
    trackers = _opened(config, store.root, say=say, stop=stop)
    tracker = _together(trackers, say=say)
    missing: Sequence[str] = ()
    try:
        yield tracker
    finally:
        lines = tracker.close()
        if _uses_mock(config.tracker):
            arrived = _arrived(trackers, store, config.study.study_name)
            lines, missing = (*lines, *arrived.lines), arrived.missing
        for line in (*lines, *(f"missing: {name}" for name in missing)):
            (at_end or say)(line)
    if missing:
        raise SystemExit(1)


def _arrived(trackers: Sequence[tuple[str, Tracker]], store: Store, study: str) -> Arrivals:
    """Return what arrived at the server of `tracker=mock`, which is one of `trackers`."""
    from sweep.track.mock_tracker import MockTracker

    (mock,) = (tracker for _, tracker in trackers if isinstance(tracker, MockTracker))
    return compare(store, study, mock.expected)


def open_tracker(config: Config, run_dir: Path, *, say: Say | None = None, stop: Stop | None = None) -> Tracker:
    """Return the tracker that the config names. `tracked` is to be used where there is a run directory to compare with.

    `say` takes single lines for the user; without it they go to standard error. After a `stop` no server is waited for
    but for a few seconds, or not at all.

    Raises UserError for every fault that `tracker_faults` knows, for a key that the server rejects where online mode
    was asked for, and for a port that is taken. A server that does not answer is no error: runs are kept offline.
    """
    say = say or _print
    return _together(_opened(config, run_dir, say=say, stop=stop), say=say)


def _opened(config: Config, run_dir: Path, *, say: Say, stop: Stop | None) -> list[tuple[str, Tracker]]:
    """Return the trackers that are switched on, each after the label of its addresses."""
    if faults := tracker_faults(config):
        raise UserError(faults)
    opened = [(one, _open(_with(config, one), run_dir, say=say, stop=stop)) for _, one in _each(config.tracker)]
    return [("" if one.target else WANDB, tracker) for one, tracker in opened if not isinstance(tracker, NullTracker)]


def _together(trackers: Sequence[tuple[str, Tracker]], *, say: Say) -> Tracker:
    if not trackers:
        return NullTracker()
    return trackers[0][1] if len(trackers) == 1 else SeveralTrackers(trackers, say=say)


def _uses_mock(tracker: TrackerConfig) -> bool:
    return any(one.name == "mock" and one.mode != "disabled" for _, one in _each(tracker))


def _open(config: Config, run_dir: Path, *, say: Say, stop: Stop | None) -> Tracker:
    """The tracker of `config.tracker`, without those in its `also`."""
    if config.tracker.target is not None:
        return _open_plugin(config, run_dir, say=say, stop=stop)
    client = read_client()
    mode = _mode(config.tracker, client)
    if config.tracker.name == "none" or mode.name == "disabled":
        if config.tracker.name == "wandb" and mode.source != _KEY:
            say(f"W&B: {mode.source} switches tracking off; the run directory has everything.")
        return NullTracker()
    for line in without_effect(config.tracker, chosen=_chosen(config.tracker)):
        say(line)
    config = config.model_copy(update={"tracker": resolved(config.tracker)})
    if config.tracker.name == "mock":
        from sweep.track.mock_tracker import MockTracker

        return MockTracker(config, run_dir, say=say, stop=stop)
    return _open_wandb(config, run_dir, client=client, mode=mode, say=say, stop=stop)


def _chosen(tracker: TrackerConfig) -> str:
    """Return the choice of the user's that keeps tracking on; empty where the environment may switch it off."""
    if tracker.name == "mock":
        return "tracker is mock"
    return f"tracker.mode is {tracker.mode}" if tracker.mode != "auto" else ""


def described(tracker: TrackerConfig) -> str:
    """Where runs would be tracked, in words: what the environment says to `auto` counts. Starts and asks nothing."""
    return "; ".join(_described(one) for _, one in _each(tracker))


def _described(tracker: TrackerConfig) -> str:
    if tracker.name == "none":
        return "none"
    if tracker.target is not None:
        return tracker.name if tracker.mode != "disabled" else f"{tracker.name} switched off"
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
    """What is wrong with the trackers' settings, the machine's credentials for them included. Starts and asks nothing."""
    also = config.tracker.also
    if broken := [fault for name, values in also.items() for fault in _also_faults(name, values)]:
        return broken
    named = [one.name for _, one in _each(config.tracker)]
    faults = list(_together_faults(named))
    for path, one in _each(config.tracker):
        faults += (_placed(fault, path) for fault in _faults(_with(config, one)))
    return faults


def _each(tracker: TrackerConfig) -> Iterator[tuple[str, TrackerConfig]]:
    """Each tracker's own keys, and the path of these keys."""
    yield "tracker", tracker.model_copy(update={"also": {}})
    for name, values in tracker.also.items():
        yield f"tracker.also.{name}", TrackerConfig.model_validate_json(json.dumps(values))


def _with(config: Config, tracker: TrackerConfig) -> Config:
    return config.model_copy(update={"tracker": tracker})


def _also_faults(name: str, values: dict[str, Any]) -> Iterator[Fault]:
    path = f"tracker.also.{name}"
    if values.get("name") != name:
        yield Fault(path, f"is given keys, but {name} is not among the trackers; write tracker=[NAME,{name}]")
        return
    try:
        own = TrackerConfig.model_validate_json(json.dumps(values))
    except ValidationError as error:
        for found in error.errors():
            key = ".".join(map(str, found["loc"]))
            yield Fault(f"{path}.{key}", f"is {json.dumps(found['input'])}, but: {found['msg']}")
        return
    if own.also:
        yield Fault(f"{path}.also", f"is of one tracker; write all of them in one list: tracker=[NAME,{name},NAME]")


def _together_faults(named: list[str]) -> Iterator[Fault]:
    """Of a list of several trackers. W&B's client has one backend in a process, so that the mock takes W&B's place."""
    if len(set(named)) < len(named):
        yield Fault("tracker", f"is [{','.join(named)}], but one tracker may stand in the list once")
    if {"wandb", "mock"} <= set(named):
        yield Fault("tracker", f"is [{','.join(named)}], but mock takes the place of wandb; name one of them")
    if "none" in named and len(named) > 1:
        yield Fault("tracker", f"is [{','.join(named)}], but none is no tracker; leave it out")


def _placed(fault: Fault, path: str) -> Fault:
    return replace(fault, path=path + fault.path.removeprefix("tracker"))


def _faults(config: Config) -> list[Fault]:
    """Of `config.tracker` alone."""
    tracker = config.tracker
    if tracker.target is not None and tracker.name in _BUILT_IN:
        return [
            Fault("tracker.target", f"is {tracker.target}, but tracker {tracker.name} has none; name another tracker")
        ]
    if tracker.target is not None:
        return plugin_faults(config)
    if tracker.name not in _BUILT_IN:
        names = sorted(file.stem for file in (conf_dir() / "tracker").glob("*.yaml"))
        if tracker.name in names:
            return [Fault("tracker.name", f"is {tracker.name}, which needs its file; type tracker={tracker.name}")]
        rule = f"is {tracker.name}, but must be one of: {', '.join(names)}{closest(tracker.name, names)}"
        return [Fault("tracker.name", f"{rule}; a tracker of your own has a tracker.target")]
    unknown = list(_key_faults(tracker, _BUILT_IN[tracker.name]))
    if tracker.name == "none" or tracker.mode == "disabled":
        return unknown
    faults = unknown + list(_name_faults(tracker, resolved(tracker)))
    if tracker.name == "mock":
        if tracker.mode == "offline":
            faults.append(Fault("tracker.mode", "is offline, but the mock server is streamed to; use auto"))
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


def _key_faults(tracker: TrackerConfig, own: type[Section]) -> Iterator[Fault]:
    """Return what is wrong with the keys that `TrackerConfig` does not have."""
    try:
        own.model_validate(tracker.model_extra or {})
    except ValidationError as error:
        yield from setting_faults(error, tracker, (*TrackerConfig.model_fields, *own.model_fields))


def _open_plugin(config: Config, run_dir: Path, *, say: Say, stop: Stop | None) -> Tracker:
    tracker = config.tracker
    if tracker.mode == "disabled":
        return NullTracker()
    plugin = load(tracker)
    own = settings(tracker, plugin)
    patience = Patience(tracker.max_wait, stop or NeverStopped())
    return BesideTracker(
        tracker.name, lambda: plugin(config, run_dir, settings=own, say=say), say=say, patience=patience
    )  # fmt: skip


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
