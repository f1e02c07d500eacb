"""A trial that stands between two optimizer steps, as the bytes of one safetensors file.

`sweep.engine.snapshot` writes and reads the tensors; the header is read here without torch.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep.records.device_time import DeviceTime

FORMAT = 1  # of the state in the header; a snapshot of another format is not gone on from
# Keys of the header's metadata.
STEP, STATE, VERSION, PACKAGES, SECONDS, DEVICES = "step", "state", "format", "packages", "seconds", "devices"

_LENGTH = 8  # bytes of the length that a safetensors file begins with


class BrokenSnapshotError(Exception):
    """A snapshot that was cut off, or that another version wrote."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Adapter and head, optimizer, schedule, random state, place in the data, and evaluations of a
    trial. `data` is a safetensors file; all that is no tensor is JSON in its header."""

    data: bytes = field(repr=False)

    @property
    def metadata(self) -> dict[str, str]:
        """Return the header's metadata. Raises BrokenSnapshotError."""
        try:
            length = int.from_bytes(self.data[:_LENGTH], "little")
            found: dict[str, str] = json.loads(self.data[_LENGTH : _LENGTH + length])["__metadata__"]
        except (ValueError, KeyError, TypeError) as error:
            raise BrokenSnapshotError(f"is no snapshot: {error}") from None
        if found.get(VERSION) != str(FORMAT):
            raise BrokenSnapshotError(f"has the format {found.get(VERSION)}, and this version reads {FORMAT}")
        return found

    @property
    def step(self) -> int:
        """Return the number of optimizer steps that the trial had taken. Raises
        BrokenSnapshotError."""
        return int(self.metadata[STEP])

    @property
    def seconds(self) -> float:
        """Return the seconds that the trial had taken. Raises BrokenSnapshotError."""
        return float(self.metadata.get(SECONDS, 0.0))

    @property
    def devices(self) -> tuple[DeviceTime, ...]:
        """Return these seconds by device; empty in snapshots of other versions."""
        try:
            return tuple(DeviceTime(**one) for one in json.loads(self.metadata.get(DEVICES, "[]")))
        except (TypeError, ValueError):
            return ()

    @property
    def state(self) -> Any:
        """Return the JSON of all that is no tensor. Raises BrokenSnapshotError."""
        return json.loads(self.metadata[STATE])


def read_header(path: Path) -> bytes:
    """Return the start of a snapshot's file, up to the end of its header; all of a file that says
    of its header that it is longer than the file."""
    with path.open("rb") as file:
        length = file.read(_LENGTH)
        return length + file.read(min(int.from_bytes(length, "little"), os.fstat(file.fileno()).st_size))
