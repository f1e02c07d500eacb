"""The address of a training's run on the dashboard, noted in the training's folder."""

from __future__ import annotations

from pathlib import Path

from sweep.records.disk import write_whole

FILE = "tracker_run"


def note_address(folder: Path, address: str) -> None:
    """Write the address of a run, for the case that the process dies before the record is written.

    A process without a tracker, whose runs have no address, keeps that of the one before.
    """
    if address:
        write_whole(folder / FILE, address)


def noted_address(folder: Path) -> str:
    """Return the address that `note_address` wrote; empty where there is none."""
    path = folder / FILE
    return path.read_text(errors="replace") if path.exists() else ""
