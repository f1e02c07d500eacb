"""A host with little memory, on workers that import this module by its name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import psutil
import pytest

from sweep.config.schema import Config
from sweep.engine import host_memory
from sweep.launch.workspace import Workspace
from sweep.records.final import Parameters
from sweep.records.memory import MemoryFacts
from sweep.study import measured_memory

SPARE = 100 * 2**20  # bytes that each of two workers has beside those that its process holds


def look(workspace: Workspace, workers: int = 1) -> MemoryFacts:
    with _little_memory():
        return measured_memory.look(workspace, workers)


def measure(workspace: Workspace, configs: Sequence[tuple[Config, Parameters]], workers: int = 1) -> MemoryFacts:
    with _little_memory():
        return measured_memory.measure(workspace, configs, workers)


@contextmanager
def _little_memory() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(host_memory, "_machine", _machine)
        patched.setattr(host_memory, "_of_cgroups", lambda *_: ())
        yield


@cache
def _machine() -> host_memory.Limit:
    held = int(psutil.Process().memory_info().rss)
    return host_memory.Limit(2 * (held + SPARE), held + 2 * SPARE, "this machine has")
