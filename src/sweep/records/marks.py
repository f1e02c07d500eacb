"""Marks in the folder of a trial that has no record: small files."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from sweep.provenance import now
from sweep.records.disk import write_whole


class UnfinishedState(StrEnum):
    """The reason why a trial has no record although its process has ended."""

    KILLED = "killed"  # during training
    DISK_FAILED = "disk failed"
    PUT_AWAY = "put away"  # or not begun


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks of one trial.

    `running` exists while the trial is trained; found later, it shows a kill. `disk_failed` says
    that the disk failed meanwhile; `in_cache` says the same where the run directory's disk became
    read-only, since the user's cache may be on another disk.
    """

    folder: Path
    in_cache: Path

    def begin(self) -> None:
        """Mark the trial as being trained. A mark that a power failure loses costs only a word:
        "put away" in place of "killed"."""
        write_whole(self._running, secrets.token_hex(8), sync=False)
        self._remove(self._disk_failed, self.in_cache)

    @property
    def begun(self) -> str:
        """Return what tells this training of the trial from earlier and later ones: the text that
        `begin` wrote; empty where there is none."""
        with suppress(OSError):
            return self._running.read_text(encoding="utf-8")
        return ""

    def stop_for_disk(self) -> None:
        """Mark the trial as one that the disk stopped.

        A full disk has no room for a record but lets a file be renamed.
        """
        with suppress(OSError):
            try:
                self._running.replace(self._disk_failed)
            except OSError:
                write_whole(self.in_cache, now())

    def clear(self) -> None:
        """Delete the marks: of a trial that was put away, or that has a record."""
        self._remove(*self._all())

    def state(self) -> UnfinishedState:
        """Return why the trial has no record."""
        if self._disk_failed.exists() or self.in_cache.exists():
            return UnfinishedState.DISK_FAILED
        return UnfinishedState.KILLED if self._running.exists() else UnfinishedState.PUT_AWAY

    @property
    def _running(self) -> Path:
        return self.folder / "running"

    @property
    def _disk_failed(self) -> Path:
        return self.folder / "disk_failed"

    def _all(self) -> Iterator[Path]:
        yield from (self._running, self._disk_failed, self.in_cache)

    def _remove(self, *marks: Path) -> None:
        for mark in marks:
            with suppress(OSError):  # marks of a trial that has a record are not read
                mark.unlink(missing_ok=True)
