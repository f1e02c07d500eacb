"""Checks of the trackers' settings. They start nothing and ask no server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from sweep.config.folders import conf_dir
from sweep.config.schema import Config, Section, TrackerConfig
from sweep.errors import Fault, closest
from sweep.track.credentials import read_client
from sweep.track.environment import resolved
from sweep.track.mock_settings import MockSettings
from sweep.track.mode import KEY, MODES, account_trouble, each, find_mode, with_tracker
from sweep.track.plugin import plugin_faults, setting_faults
from sweep.track.review.process import MISSING, installed

# Trackers without a class of their own to name, and the keys that they have beside those of
# `TrackerConfig`.
_BUILT_IN: Mapping[str, type[Section]] = {"wandb": Section, "mock": MockSettings, "none": Section}

_NOT_IN_PROJECT = "/\\#?%:"
_LONGEST_PROJECT, _LONGEST_TAG = 128, 64


def tracker_faults(config: Config) -> list[Fault]:
    """Return what is wrong with the settings of all trackers, and with this machine's credentials
    for them."""
    also = config.tracker.also
    if broken := [fault for name, values in also.items() for fault in _also_faults(name, values)]:
        return broken
    named = [one.name for _, one in each(config.tracker)]
    faults = list(_together_faults(named))
    for path, one in each(config.tracker):
        faults += (_placed(fault, path) for fault in _faults(with_tracker(config, one)))
    return faults


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
    """Yield what is wrong with trackers in one list. W&B's client has one server in a process, so
    that `mock` excludes `wandb`."""
    if len(set(named)) < len(named):
        yield Fault("tracker", f"is [{','.join(named)}], but one tracker may stand in the list once")
    if {"wandb", "mock"} <= set(named):
        yield Fault("tracker", f"is [{','.join(named)}], but mock takes the place of wandb; name one of them")
    if "none" in named and len(named) > 1:
        yield Fault("tracker", f"is [{','.join(named)}], but none is no tracker; leave it out")


def _placed(fault: Fault, path: str) -> Fault:
    return replace(fault, path=path + fault.path.removeprefix("tracker"))


def _faults(config: Config) -> list[Fault]:
    """Return what is wrong with one tracker, `config.tracker`."""
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
    if tracker.review and not installed():
        unknown.append(Fault("tracker.review", f"is true, but {MISSING}"))
    if tracker.name == "none":
        return unknown + list(_idle_faults(tracker))
    if tracker.mode == "disabled":
        return unknown
    faults = unknown + list(_name_faults(tracker, resolved(tracker)))
    if tracker.name == "mock":
        if tracker.mode == "offline":
            faults.append(Fault("tracker.mode", "is offline, but the mock server is streamed to; use auto"))
        return faults
    client = read_client()
    mode = find_mode(tracker, client)
    if mode.name not in MODES.values():
        rule = f"is auto, and {mode.source} says {mode.name!r}, but it must say one of: online, offline, disabled"
        faults.append(Fault("tracker.mode", rule))
    if mode.name == "online" and client.base_url and urlsplit(client.base_url).scheme not in ("http", "https"):
        faults.append(Fault("tracker.mode", "needs WANDB_BASE_URL to be an http:// or https:// address"))
    if mode.name == "online" and mode.asked and (trouble := account_trouble(client)):
        set_by = "" if mode.source == KEY else f" (set by {mode.source})"
        faults.append(Fault("tracker.mode", f"is online{set_by}, but {trouble}; run `wandb login`, or use offline"))
    return faults


def _key_faults(tracker: TrackerConfig, own: type[Section]) -> Iterator[Fault]:
    """Yield what is wrong with the keys that `TrackerConfig` does not have."""
    try:
        own.model_validate(tracker.model_extra or {})
    except ValidationError as error:
        yield from setting_faults(error, tracker, (*TrackerConfig.model_fields, *own.model_fields))


def _idle_faults(tracker: TrackerConfig) -> Iterator[Fault]:
    """Yield the keys that ask tracker `none` for something."""
    asked = {"review": tracker.review, "alerts": tracker.alerts, "registry": tracker.registry}
    for key, value in asked.items():
        if value:
            rule = f"is {json.dumps(value)}, but tracker none sends nothing; leave it out, or name another tracker"
            yield Fault(f"tracker.{key}", rule)


def _name_faults(given: TrackerConfig, tracker: TrackerConfig) -> list[Fault]:
    """Return what is wrong with the project and the tags: those of the environment where the
    config has none."""
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
