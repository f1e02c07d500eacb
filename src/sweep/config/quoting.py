"""Values as Hydra reads them from an override."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

_WORD = re.compile(r"[A-Za-z_][\w./-]*", re.ASCII)  # Hydra reads other letters in quotes alone
_NOT_A_WORD = ("null", "true", "false", "nan", "inf")  # Hydra reads these as values of other kinds
_ESCAPED = re.compile(r"[\\()\[\]{}:=, \t]")  # in the key of a mapping, where no quotes may be


def quoted(value: Any) -> str:
    """Return a value as Hydra reads it from an override."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            plain = _WORD.fullmatch(value) and value.lower() not in _NOT_A_WORD
            return value if plain else _in_quotes(value)
        case Mapping():
            return "{" + ",".join(f"{_key(str(key))}:{quoted(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ",".join(map(quoted, value)) + "]"
        case _:
            return repr(value)


def typed(key: str, value: Any) -> str:
    """Return the override that sets a key to a value, as it is typed in a shell."""
    return shlex.quote(f"{key}={quoted(value)}")


def _key(text: str) -> str:
    """Return the key of a mapping with a backslash before what Hydra would read otherwise."""
    return _ESCAPED.sub(lambda found: f"\\{found[0]}", text)


def _in_quotes(value: str) -> str:
    """Return a text in quotes. Hydra keeps a backslash as it is, except before a quote of the same
    kind. Double quotes are taken where the text has none: a shell needs single ones around."""
    mark = "'" if '"' in value else '"'
    within = re.sub(rf"(\\*)({mark}|\Z)", lambda found: found[1] * 2 + (f"\\{mark}" if found[2] else ""), value)
    return f"{mark}{within}{mark}"
