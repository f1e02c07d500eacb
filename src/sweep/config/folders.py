"""The folders of shipped configs and search spaces, and of the user's cache.

Shipped files lie beside `src/` in a checkout, and inside the package in a wheel.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from sweep.errors import Fault, disk_failure, to_mend

CACHE = "SWEEP_CACHE"
_PACKAGE = Path(__file__).resolve().parents[1]


def _shipped(name: str) -> Path:
    packed = _PACKAGE / name
    return packed if packed.is_dir() else _PACKAGE.parents[1] / name


def expanded(path: str) -> Path:
    """Return a path with the home folder of its user in place of `~` or `~USER` at its beginning.
    A path whose user has no home stays as it is: pathlib would raise an error."""
    return Path(os.path.expanduser(path))  # noqa: PTH111


def conf_dir() -> Path:
    """Return the folder of the shipped configs."""
    return _shipped("conf")


def sweeps_dir() -> Path:
    """Return the folder of the shipped search spaces."""
    return _shipped("sweeps")


def cache_dir() -> Path:
    """Return `SWEEP_CACHE`, or sweep's folder in the user's cache.

    It holds tokens, converted models and vectors of frozen bases, each found by its fingerprint.
    """
    named = os.environ.get(CACHE)
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return expanded(named) if named else base / "sweep"


def token_cache() -> Path:
    """Return the folder of tokenised data sets."""
    return cache_dir() / "tokenised"


def feature_cache() -> Path:
    """Return the folder of vectors that frozen bases computed."""
    return cache_dir() / "features"


def gguf_cache() -> Path:
    """Return the folder of models converted from GGUF."""
    return cache_dir() / "gguf"


def cache_faults(_: object = None) -> list[Fault]:
    """Return the reasons why the cache folder cannot be written to.

    These are its permissions, or a file in its place, above it or in it. Nothing is created.
    """
    try:
        folders = [kind().absolute() for kind in (token_cache, feature_cache, gguf_cache)]
    except RuntimeError:  # a user without a home
        return [Fault(CACHE, "is not set, and there is no home folder to keep a cache in; name a folder")]
    found = dict.fromkeys(filter(None, map(_unwritable, folders)))
    cache = folders[0].parent
    said = f"is {cache}" if os.environ.get(CACHE) else f"is not set, so that {cache} is the cache"
    rule = "name a folder that can be made or written to"
    return [Fault(CACHE, f"{said}, but {what}; {rule}", "the environment") for what in found]


def temporary_faults(_: object = None) -> list[Fault]:
    """Return a fault where no folder for temporary files can be written to."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        if (failure := disk_failure(error)) is None:
            raise
        rule = f"no folder for temporary files can be written to: {failure}. {to_mend(failure)}"
        return [Fault("", rule.rstrip(". "))]
    return []


def _unwritable(folder: Path) -> str | None:
    try:
        nearest = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
        if not nearest.is_dir():
            return f"{nearest} is no folder"
    except OSError as error:
        return f"it cannot be looked at: {error.strerror}"
    return None if os.access(nearest, os.W_OK | os.X_OK) else f"{nearest} cannot be written to"
