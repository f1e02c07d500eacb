"""The trackers that a config names, each with its own keys, and the mode in which W&B is used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from sweep.config.schema import Config, TrackerConfig
from sweep.track.credentials import Client, netrc_path, read_client
from sweep.track.environment import switched_off

# The client's older words for the same modes, which it still takes.
MODES = {"online": "online", "run": "online", "offline": "offline", "dryrun": "offline", "disabled": "disabled"}

KEY = "tracker.mode"


@dataclass(frozen=True, slots=True)
class Mode:
    """The mode in which W&B is used. `asked` is true where somebody chose it, in `source`; else
    it follows from the credentials."""

    name: str
    asked: bool
    source: str


def each(tracker: TrackerConfig) -> Iterator[tuple[str, TrackerConfig]]:
    """Yield the path of each tracker's keys, and the keys themselves."""
    yield "tracker", tracker.model_copy(update={"also": {}})
    for name, values in tracker.also.items():
        yield f"tracker.also.{name}", TrackerConfig.model_validate_json(json.dumps(values))


def with_tracker(config: Config, tracker: TrackerConfig) -> Config:
    return config.model_copy(update={"tracker": tracker})


def find_mode(tracker: TrackerConfig, client: Client) -> Mode:
    if tracker.mode != "auto" or tracker.name != "wandb":
        return Mode(tracker.mode, True, KEY)
    if off := switched_off():
        return Mode("disabled", True, off)
    if client.mode:
        return Mode(MODES.get(client.mode, client.mode), True, client.mode_source)
    return Mode("online" if client.account else "offline", False, "the credentials found")


def account_trouble(client: Client) -> str | None:
    if client.account is None:
        host = urlsplit(client.base_url).netloc or "W&B"
        return f"there is no key for {host} in WANDB_API_KEY or {netrc_path()}"
    return client.account.problem


def described(tracker: TrackerConfig) -> str:
    """Return where runs would be tracked, in words. Under `auto` the environment counts. Starts
    and asks nothing."""
    return "; ".join(_described(one) for _, one in each(tracker))


def _described(tracker: TrackerConfig) -> str:
    if tracker.name == "none":
        return "none"
    if tracker.target is not None:
        return tracker.name if tracker.mode != "disabled" else f"{tracker.name} switched off"
    mode = find_mode(tracker, read_client())
    if mode.name == "disabled":
        return (
            f"none, for {mode.source} switches tracking off"
            if mode.source != KEY
            else "none (tracker.mode is disabled)"
        )
    if tracker.name == "mock":
        return "mock, on this machine"
    said = "" if tracker.mode != "auto" else f", by {mode.source}" if mode.asked else f", for {_found(mode)}"
    return f"{tracker.name}, {MODES.get(mode.name, mode.name)}{said}"


def _found(mode: Mode) -> str:
    return "there is a key" if mode.name == "online" else "no key was found"
