"""The lock file: everything that is needed to repeat a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sweep.config.schema import Config
from sweep.provenance import DataState, GitState, ModelState


@dataclass(frozen=True, slots=True)
class Lock:
    """Everything that is needed to repeat the run: config, search space, seeds, versions, machine,
    code, data and model.

    `experiment` is the fingerprint of the values that a resumed run must share with the first run.
    """

    experiment: str
    config: Config
    space: Mapping[str, Any]
    command: str
    seeds: Mapping[str, int]
    versions: Mapping[str, str]
    machine: Mapping[str, str]
    git: GitState
    data: DataState
    model: ModelState
    created: str
