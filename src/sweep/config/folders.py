"""Where the shipped configs and search spaces are: beside `src/` in a checkout, inside the package in a wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def _shipped(name: str) -> Path:
    packed = _PACKAGE / name
    return packed if packed.is_dir() else _PACKAGE.parents[1] / name


def conf_dir() -> Path:
    return _shipped("conf")


def sweeps_dir() -> Path:
    return _shipped("sweeps")
