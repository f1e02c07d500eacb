"""The version of the records, and the steps that bring records of older versions up to it.

Every record file that is one JSON object holds its version under `schema_version`; a record
without the key has version 0. A change of a record's keys or of their meaning adds 1 to
`SCHEMA_VERSION` and a function to `_STEPS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

SCHEMA_VERSION = 1
KEY = "schema_version"


class SchemaVersionError(ValueError):
    """A record whose version this program cannot read.

    The message is a rule that follows the file's path.
    """


class NewerVersionError(SchemaVersionError):
    """A record that a newer version of the program wrote."""


def stamped(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record with the present version as its first key."""
    return {KEY: SCHEMA_VERSION, **record}


def version_of(record: Mapping[str, Any]) -> int:
    """Return the version of a record.

    Raises SchemaVersionError for a version that is no whole number.
    """
    found = record.get(KEY, 0)
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise SchemaVersionError(f"cannot be read: {KEY} is {found!r}, which is no version")
    return found


def migrated(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record as the present version writes it, without its version.

    Raises NewerVersionError for a record of a newer version, and SchemaVersionError as
    `version_of` does.
    """
    version = version_of(record)
    if version > SCHEMA_VERSION:
        raise NewerVersionError(
            f"was written by {_writer(record)} (records of version {version}), and this sweep reads records up to "
            f"version {SCHEMA_VERSION}; upgrade sweep"
        )
    found = {name: value for name, value in record.items() if name != KEY}
    for step in range(version, SCHEMA_VERSION):
        found = _STEPS[step](found)
    return found


def _writer(record: Mapping[str, Any]) -> str:
    """Return the name of the program that wrote a record: a lock holds its version."""
    versions = record.get("versions")
    version = versions.get("sweep") if isinstance(versions, Mapping) else None
    return f"sweep {version}" if isinstance(version, str) else "a newer sweep"


def _from_0(record: dict[str, Any]) -> dict[str, Any]:
    """Return the record without config keys that say nothing: version 0 wrote the keys of all
    adapter methods, null or false where a method lacks them, and the port of the mock server for
    every tracker."""
    config = record.get("config")
    if not isinstance(config, Mapping):
        return record
    found = dict(config)
    if isinstance(adapter := config.get("adapter"), Mapping):
        found["adapter"] = {
            name: value
            for name, value in adapter.items()
            if value is not None and (name, value) != ("use_rslora", False)
        }
    if isinstance(tracker := config.get("tracker"), Mapping):
        found["tracker"] = _without_port(tracker)
    return {**record, "config": found}


def _without_port(tracker: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tracker's settings without the key that only `mock` has."""
    kept = {name: value for name, value in tracker.items() if name != "port" or tracker.get("name") == "mock"}
    if isinstance(also := tracker.get("also"), Mapping):
        kept["also"] = {name: _without_port(own) if isinstance(own, Mapping) else own for name, own in also.items()}
    return kept


# The step from each version to the next.
_STEPS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {0: _from_0}
