"""A record as a JSON file: written as a whole, read in the present version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from sweep.errors import UserError
from sweep.records.disk import write_whole
from sweep.records.migrations import (
    SCHEMA_VERSION,
    NewerVersionError,
    SchemaVersionError,
    migrated,
    stamped,
    version_of,
)

T = TypeVar("T")

_DAMAGED = "put it back from a copy, or name a new run_dir"


def write_record(adapter: TypeAdapter[T], value: T, path: Path) -> None:
    """Write or replace a record file."""
    write_whole(path, json.dumps(stamped(adapter.dump_python(value, mode="json")), indent=2) + "\n")


def read_record(adapter: TypeAdapter[T], path: Path) -> T | None:
    """Return the record in a file, brought up to the present version; None where there is no file.

    Raises UserError for a file that was damaged, or that a newer version wrote.
    """
    if not path.exists():
        return None
    content = path.read_bytes()
    try:
        return adapter.validate_json(_of_present_version(content))
    except NewerVersionError as error:
        raise UserError.of(str(path), f"{error}, or name a new run_dir") from None
    except SchemaVersionError as error:
        raise UserError.of(str(path), f"{error}; {_DAMAGED}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "its start"
        rule = f"cannot be read: {first['msg']} at {where}. It was damaged, or another version wrote it"
        raise UserError.of(str(path), f"{rule}; {_DAMAGED}") from None


def _of_present_version(content: bytes) -> bytes:
    """Return the JSON of a record of the present version.

    Raises SchemaVersionError; what is no object stays as it is.
    """
    try:
        found = from_json(content)
    except ValueError:
        return content
    if not isinstance(found, dict) or version_of(found) == SCHEMA_VERSION:
        return content
    return json.dumps(migrated(found)).encode()
