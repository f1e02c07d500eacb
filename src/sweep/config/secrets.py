"""Keeps passwords and keys out of everything that is written or sent.

That is records, logs, the lock file and trackers.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import unquote_plus

from sweep.config.schema import Config

MASK = "***"

# The user part of an address ends at the last `@`: a password may hold any other character.
_ADDRESS = re.compile(r"(?P<head>://[^/?#\s:@'\"]*:)[^\s'\"]*(?=@)")
_ARGUMENT = re.compile(r"(?i)(?P<head>[?&](?:password|passwd|pwd|secret|[\w-]*token|[\w-]*key)=)[^&\s'\"]+")
_KNOWN_SHAPE = re.compile(
    r"(?<![A-Za-z0-9])(?:hf_\w{20,}|gh[opsur]_\w{20,}|github_pat_\w{20,}|sk-[\w-]{20,}|wandb_v\d_[\w-]{20,})"
)
# W&B's older keys look like the commits that revisions and the folders of a hub's cache are named
# by.
_HEX_KEY = re.compile(
    r"(?<![\w@])(?<!revision=)(?<!revision=')(?<!snapshots/)(?<!blobs/)(?<!commit )(?<!commit=)[0-9a-f]{40}(?!\w)"
)
_COMMIT_NAME = re.compile(r"(?:^|_)(?:revision|commit)$")
# An option of an address. PostgreSQL's `options=-c name=value` holds options in turn. Names may be
# percent-encoded.
_OPTION = re.compile(r"(?P<head>[?&](?P<name>[^=&\s'\"?]+)=)(?P<value>[^&'\"\n]*)")
_SECRET_OPTION = re.compile(r"(?i)(?:(?:password|passwd|pwd|secret)|(?:^|[^a-z])pass)\s*(?:=|$)")
_SECRET_NAME = re.compile(r"(?i)(?:^|_|^PG)(?:password|passwd|secret|credentials?|token|(?:api|access|private)_?key)$")

# A shorter value may be an ordinary word, which would be masked everywhere.
_SHORTEST = 12


def scrub(text: str, secrets: Sequence[str] | None = None) -> str:
    """Return `text` without passwords in addresses, known keys and secrets of the environment.

    `secrets` are those of the environment, if they were looked up before.
    """
    for secret in _environment() if secrets is None else secrets:
        text = text.replace(secret, MASK)
    text = _ADDRESS.sub(rf"\g<head>{MASK}", text)
    text = _ARGUMENT.sub(rf"\g<head>{MASK}", text)
    if "://" in text:
        text = _OPTION.sub(_masked_option, text)
    return _KNOWN_SHAPE.sub(MASK, text)


def scrub_typed(text: str, secrets: Sequence[str] | None = None) -> str:
    """Return a text that the user typed, without secrets of any shape.

    40 hexadecimal digits count as a key, except where a commit stands (`revision=…`, `name@…`,
    `snapshots/…`). Diffs, locks and messages hold such digits of their own: use `scrub` there.
    """
    return _HEX_KEY.sub(MASK, scrub(text, secrets))


def _masked_option(found: re.Match[str]) -> str:
    name, value = unquote_plus(found["name"]), found["value"]
    if _SECRET_OPTION.search(name):
        _, blank, rest = value.partition(" ")  # a blank ends the address
        return f"{found['head']}{MASK}{blank}{rest}"
    return f"{found['head']}{MASK}" if _SECRET_OPTION.search(unquote_plus(value)) else found[0]


def scrubbed(config: Config) -> dict[str, Any]:
    """Return the resolved config as plain nested values, without secrets."""
    return _clean(config.model_dump(mode="json"), _environment())  # type: ignore[no-any-return]


def shown(config: Config) -> Config:
    """Return the config without secrets, as it may be recorded."""
    return Config.model_validate_json(json.dumps(scrubbed(config)))


def _clean(value: Any, secrets: Sequence[str], name: str = "") -> Any:
    match value:
        case dict():
            return {key: _clean(item, secrets, key) for key, item in value.items()}
        case list():
            return [_clean(item, secrets, name) for item in value]
        case str() if value and _SECRET_NAME.search(name):
            return MASK
        case str() if _COMMIT_NAME.search(name):
            return scrub(value, secrets)
        case str():
            return scrub_typed(value, secrets)
        case _:
            return value


def secret_names(environment: Iterable[str]) -> list[str]:
    """Return the names of environment variables that hold secrets."""
    return [name for name in environment if _SECRET_NAME.search(name)]


def _environment() -> list[str]:
    """Return the secrets in environment variables, longest first: one may be part of another."""
    found = {value for name, value in os.environ.items() if len(value) >= _SHORTEST and _SECRET_NAME.search(name)}
    return sorted(found, key=len, reverse=True)
