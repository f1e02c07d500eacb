"""Values written as overrides in Hydra's grammar."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sweep.config.compose import Composer

_WORD = re.compile(r"[A-Za-z_][\w./-]*")
_NOT_A_WORD = ("null", "true", "false", "nan", "inf")  # Hydra reads these as values of other kinds


def merged(composer: Composer, overrides: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    """Return `overrides` with `values` in place of those that set the same keys and groups."""
    kept = [override for override in overrides if composer.key(override) not in values]
    return [*kept, *(composer.override(key, quoted(value)) for key, value in values.items())]


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
            return "{" + ",".join(f"{key}:{quoted(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ",".join(map(quoted, value)) + "]"
        case _:
            return repr(value)


def _in_quotes(value: str) -> str:
    """Return a text in single quotes. Hydra keeps a backslash as it is, except before a quote."""
    return "'" + re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), value) + "'"
