"""Where things are: the shipped configs and search spaces, beside `src/` in a checkout and inside the package in a wheel;
and the user's cache."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def _shipped(name: str) -> Path:
    packed = _PACKAGE / name
    return packed if packed.is_dir() else _PACKAGE.parents[1] / name


def conf_dir() -> Path:
    return _shipped("conf")


def sweeps_dir() -> Path:
    return _shipped("sweeps")


def cache_dir() -> Path:
    """`SWEEP_CACHE`, or the user's cache folder: tokenised data and converted models, found again by fingerprint."""
    named = os.environ.get("SWEEP_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(named) if named else base / "sweep"
