"""Trackers that are named by dotted path: the interface of their classes, and their settings.

`tracker.target` names a class such as `my_package.my_module.MyTracker`. Its YAML file in
`conf/tracker/`, or in a folder of the user's own, holds that path and values of its settings. No
other module has to be changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from pydantic import ValidationError

from sweep.config import custom_code
from sweep.config.custom_code import OwnCodeError
from sweep.config.schema import Config, Section, TrackerConfig
from sweep.errors import Fault, UserError, closest
from sweep.track.tracker import Say, Tracker

# Keys that mean the same for every tracker; the tracker's thread and `open_tracker` use them.
_COMMON = ("name", "target", "also", "mode", "max_wait")


@runtime_checkable
class TrackerPlugin(Protocol):
    """The interface of the class that `tracker.target` names.

    `Settings` is a `Section` with the keys of its YAML file; `requires` maps each module that it
    imports beyond sweep's own dependencies to the command that installs it.
    """

    Settings: ClassVar[type[Section]]
    requires: ClassVar[Mapping[str, str]]

    def __call__(self, config: Config, run_dir: Path, *, settings: Any, say: Say) -> Tracker:
        """Return the started tracker. It is called in the thread in which all methods are
        called."""


def plugin_faults(config: Config) -> list[Fault]:
    """Return the faults of the class that `config.tracker.target` names, of its requirements and
    of its settings.

    Their paths begin with `tracker.`
    """
    tracker = config.tracker
    try:
        plugin = load(tracker)
    except UserError as error:
        return list(error.faults)
    faults = [
        Fault("tracker.name", f"is {tracker.name}, which needs {module}; type {install}")
        for module, install in plugin.requires.items()
        if not _is_installed(module)
    ]
    if tracker.mode not in ("auto", "disabled"):
        faults.append(Fault("tracker.mode", f"is {tracker.mode}, but {tracker.name} has: auto, disabled"))
    try:
        settings(tracker, plugin)
    except ValidationError as error:
        faults += setting_faults(error, tracker, tuple(plugin.Settings.model_fields))
    return faults


def load(tracker: TrackerConfig) -> TrackerPlugin:
    """Return the class at `tracker.target`.

    Raises UserError if there is none, or if it lacks the interface.
    """
    target = tracker.target or ""
    if not custom_code.is_own(target) or not all(part.isidentifier() for part in target.split(".")):
        raise UserError.of(
            "tracker.target", f"is {target}, but must be a dotted path such as my_package.my_module.MyTracker"
        )
    try:
        found = custom_code.load(target)
    except OwnCodeError as error:
        raise UserError.of("tracker.target", str(error)) from None
    if not isinstance(found, TrackerPlugin):
        lacking = " and ".join(f"`{each}`" for each in ("Settings", "requires") if not hasattr(found, each))
        raise UserError.of("tracker.target", f"is {target}, which lacks {lacking} (docs/tracking.md)")
    return found


def settings(tracker: TrackerConfig, plugin: TrackerPlugin) -> Section:
    """Return the tracker's own keys.

    W&B's keys with their default values count as not given. Raises ValidationError.
    """
    defaults = TrackerConfig()
    given = {name: getattr(tracker, name) for name in TrackerConfig.model_fields if name not in _COMMON}
    given = {name: value for name, value in given.items() if value != getattr(defaults, name)}
    return plugin.Settings.model_validate_json(json.dumps(given | (tracker.model_extra or {})))


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that it is in
        return False


def setting_faults(error: ValidationError, tracker: TrackerConfig, names: Sequence[str]) -> Iterator[Fault]:
    """Yield a fault for each setting that `error` is about. The tracker has the keys `names`."""
    for found in error.errors():
        path = ".".join(map(str, found["loc"]))
        if found["type"] == "extra_forbidden":
            rule = f"is not a key of tracker {tracker.name}{closest(path, names)}; it has: {', '.join(names) or 'none'}"
        elif found["type"] == "missing":
            rule = "is missing, and must be given"
        else:
            rule = f"is {json.dumps(found['input'])}, but: {found['msg']}"
        yield Fault(f"tracker.{path}", rule)
