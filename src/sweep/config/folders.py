"""Where things are: the shipped configs and search spaces, beside `src/` in a checkout and inside the package in a wheel;
and the user's cache."""

from __future__ import annotations

import os
from pathlib import Path

from sweep.errors import Fault

CACHE = "SWEEP_CACHE"
_PACKAGE = Path(__file__).resolve().parents[1]


def _shipped(name: str) -> Path:
    packed = _PACKAGE / name
    return packed if packed.is_dir() else _PACKAGE.parents[1] / name


def conf_dir() -> Path:
    return _shipped("conf")


def sweeps_dir() -> Path:
    return _shipped("sweeps")


def cache_dir() -> Path:
    """`SWEEP_CACHE`, or the user's cache folder: tokens, converted models and vectors of frozen bases, found again by
    fingerprint."""
    named = os.environ.get(CACHE)
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(named) if named else base / "sweep"


def token_cache() -> Path:
    return cache_dir() / "tokenised"


def feature_cache() -> Path:
    return cache_dir() / "features"


def gguf_cache() -> Path:
    return cache_dir() / "gguf"


def cache_faults(_: object = None) -> list[Fault]:
    """What keeps the cache folder from being written to: a file in its place, above it or in it, or its permissions.
    Nothing is made."""
    try:
        folders = [kind().absolute() for kind in (token_cache, feature_cache, gguf_cache)]
    except RuntimeError:  # a user without a home
        return [Fault(CACHE, "is not set, and there is no home folder to keep a cache in; name a folder")]
    found = dict.fromkeys(filter(None, map(_unwritable, folders)))
    cache = folders[0].parent
    said = f"is {cache}" if os.environ.get(CACHE) else f"is not set, so that {cache} is the cache"
    rule = "name a folder that can be made or written to"
    return [Fault(CACHE, f"{said}, but {what}; {rule}", "the environment") for what in found]


def _unwritable(folder: Path) -> str | None:
    try:
        nearest = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
        if not nearest.is_dir():
            return f"{nearest} is no folder"
    except OSError as error:
        return f"it cannot be looked at: {error.strerror}"
    return None if os.access(nearest, os.W_OK | os.X_OK) else f"{nearest} cannot be written to"
