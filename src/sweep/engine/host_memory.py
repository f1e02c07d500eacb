"""The memory that this process may use on the host: of the machine, a cgroup or `ulimit`."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

_ENDLESS = 2**60  # bytes; cgroup v1 writes a number of this size for no limit
_FILES = {  # by version of cgroups: the limit, the usage, and the key of pages that can be freed
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: ("memory.max", "memory.current", "inactive_file"),
}


@dataclass(frozen=True, slots=True)
class Limit:
    """The bytes that this process may come to hold, those that it holds now included. `free` are
    those that are left now; `source` says who sets the limit."""

    bytes: int
    free: int
    source: str

    def shared(self, workers: int, held: int) -> Limit:
        """Return the part of one of so many workers. Each is taken to come to hold as much as
        this process, which holds so many bytes. That is cautious: what those hold that have begun
        is not in `free` either."""
        if workers == 1:
            return self
        free = max((self.free + held) // workers - held, 0)
        return Limit(self.bytes // workers, free, f"each of the {workers} workers on its host has")


def host_limit(
    cgroups: Path = Path("/sys/fs/cgroup"), process: Path = Path("/proc/self/cgroup"), *, workers: int = 1
) -> Limit:
    """Return the least of the limits that hold for this process. So many workers share the
    memory of the machine and of the cgroup."""
    held = int(psutil.Process().memory_info().rss)
    limits = [one.shared(workers, held) for one in (_machine(), *_of_cgroups(cgroups, process))] + [*_of_ulimit()]
    least = min(limits, key=lambda one: one.bytes)
    return replace(least, free=min(one.free for one in limits))


def host_free(workers: int = 1) -> int:
    """Return the bytes that this process, one of so many workers, may still take now."""
    return host_limit(workers=workers).free


def _machine() -> Limit:
    memory = psutil.virtual_memory()
    return Limit(int(memory.total + psutil.swap_memory().total), int(memory.available), "this machine has")


def _of_cgroups(root: Path = Path("/sys/fs/cgroup"), process: Path = Path("/proc/self/cgroup")) -> Iterator[Limit]:
    """Yield the limits of the cgroup of this process and of those above it."""
    for version, mount, path in _cgroups(root, process):
        limit_name, usage_name, freed = _FILES[version]
        folder = mount / path.lstrip("/")
        for place in dict.fromkeys((folder, *folder.parents)):
            if place == mount.parent:
                break
            limit, usage = _number(place / limit_name), _number(place / usage_name)
            if limit is not None and limit < _ENDLESS:
                used = max((usage or 0) - _stat(place / "memory.stat", freed), 0)
                yield Limit(limit, max(limit - used, 0), "the cgroup of this process allows")


def _cgroups(root: Path, process: Path) -> Iterator[tuple[int, Path, str]]:
    """Yield the version of cgroups, the folder of the memory controller and the path in it."""
    try:
        lines = process.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            yield 1, root / "memory", path
        elif not controllers:
            yield 2, root, path


def _of_ulimit() -> Iterator[Limit]:
    """Yield the limit of the address space, as if all of it that is not resident were taken."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        held = psutil.Process().memory_info()
        yield Limit(max(limit - (held.vms - held.rss), 0), max(limit - held.vms, 0), "ulimit -v allows")


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # "max" for no limit
        return None


def _stat(path: Path, name: str) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.split()[:1] == [name]), 0)
