"""The workers that Ray runs on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def actors_below(parent: int) -> Iterator[int]:
    """Yield the ids of Ray's actors among the descendants of a process."""
    above, names = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text()
            names[int(folder.name)] = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        above[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
    for process, name in names.items():
        line = [process]
        while line[-1] in above:
            line.append(above[line[-1]])
        if name.startswith(b"ray::Actor") and parent in line:
            yield process
