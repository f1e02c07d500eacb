"""Configs as a user types them."""

from __future__ import annotations

from typing import Any

from sweep.config.parse import parse


def faults_of(tree: dict[str, Any]) -> dict[str, str]:
    """Return the messages on the faults of a config, by their keys."""
    _, faults = parse(tree, lambda path: f"the origin of {path}")
    assert all(fault.origin == f"the origin of {fault.path}" for fault in faults)
    return {fault.path: fault.message for fault in faults}
