"""The memory that a process may use on the host."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.engine import host_memory
from sweep.engine.host_memory import host_free, host_limit

MIB = 2**20


def cgroup(root: Path, version: int, path: str, **files: str) -> dict[str, Path]:
    """Write the files of a process's cgroup, and return where they are."""
    folder = (root / "memory" if version == 1 else root) / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")
    process = root / "process"
    process.write_text(f"4:memory:/{path}\n" if version == 1 else f"0::/{path}\n")
    return {"cgroups": root, "process": process}


def test_a_cgroup_below_the_machine_s_memory_is_the_limit(tmp_path: Path) -> None:
    places = cgroup(
        tmp_path, 2, "user/job", memory__max=f"{64 * MIB}", memory__current=f"{40 * MIB}",
        memory__stat=f"anon 1\ninactive_file {16 * MIB}",
    )  # fmt: skip
    found = host_limit(**places)
    assert (found.bytes, found.free) == (64 * MIB, 40 * MIB) and "cgroup" in found.source


def test_a_cgroup_above_limits_too(tmp_path: Path) -> None:
    cgroup(tmp_path, 1, "user", memory__limit_in_bytes=f"{32 * MIB}", memory__usage_in_bytes="0")
    places = cgroup(tmp_path, 1, "user/job", memory__limit_in_bytes=f"{2**62}", memory__usage_in_bytes="0")
    assert host_limit(**places).bytes == 32 * MIB


@pytest.mark.parametrize("files", [{}, {"memory__max": "max", "memory__current": "5"}])
def test_without_a_limit_there_is_the_machine_s_memory(tmp_path: Path, files: dict[str, str]) -> None:
    found = host_limit(**cgroup(tmp_path, 2, "job", **files))
    assert found.bytes > MIB and "machine" in found.source
    assert host_limit(tmp_path, tmp_path / "absent").bytes == found.bytes


def test_ulimit_counts_what_is_mapped_and_not_resident(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    held = host_memory.psutil.Process().memory_info()
    monkeypatch.setattr(host_memory.resource, "getrlimit", lambda _: (held.vms + 64 * MIB,) * 2)
    found = host_limit(tmp_path, tmp_path / "absent")
    assert "ulimit" in found.source and abs(found.bytes - held.rss - 64 * MIB) < 32 * MIB
    assert host_free() <= 96 * MIB


def test_workers_share_the_memory_of_their_host_but_not_ulimit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    held = host_memory.psutil.Process().memory_info().rss
    places = cgroup(tmp_path, 2, "job", memory__max=f"{8 * 2**30}", memory__current="0")
    part = host_limit(**places, workers=4)
    assert part.bytes == 2 * 2**30 and part.source == "each of the 4 workers on its host has"
    assert part.free <= (8 * 2**30 + held) // 4 - held + 2**24
    vms = host_memory.psutil.Process().memory_info().vms
    monkeypatch.setattr(host_memory.resource, "getrlimit", lambda _: (vms + 64 * MIB,) * 2)
    assert "ulimit" in host_limit(**places, workers=4).source
