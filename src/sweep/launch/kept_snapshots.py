"""Snapshots of trainings of all weights (`study.snapshots=always`).

They are several times as large as the model, and stay on the disk of the worker that took them.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sweep.config.folders import cache_dir
from sweep.errors import first_line
from sweep.records.disk import write_whole
from sweep.records.snapshot import BrokenSnapshotError, Snapshot
from sweep.records.trial import TrialPlan

logger = logging.getLogger(__name__)

_WEEK = 7 * 24 * 3600.0


def kept_here(plan: TrialPlan) -> bool:
    """Return whether the snapshots of a trial stay with its worker."""
    return plan.config.adapter.trains == "everything"


@dataclass(frozen=True, slots=True)
class KeptSnapshots:
    """The newest snapshot of each training of a study on this machine, in the user's cache.

    `study` is the id of the study's run directory. A snapshot that nobody took up for a week is
    deleted.
    """

    study: str

    def write(self, plan: TrialPlan, snapshot: Snapshot) -> None:
        """Replace the snapshot of a trial. A disk that fails is told, and the trial goes on."""
        try:
            write_whole(self._path(plan), snapshot.data, sync=False)
        except OSError as error:
            logger.warning("trial %d has no snapshot on this worker: %s", plan.number, first_line(error))

    def read(self, plan: TrialPlan) -> Snapshot | None:
        """Return the snapshot of a trial; None where this machine has none that can be read."""
        try:
            found = Snapshot(self._path(plan).read_bytes())
            _ = found.step
        except (OSError, BrokenSnapshotError):
            return None
        return found

    def drop(self, plan: TrialPlan) -> None:
        """Delete the snapshot of a trial that has ended, and those of any study that are old."""
        with suppress(OSError):
            self._path(plan).unlink(missing_ok=True)
            for file in _folder().glob("*.safetensors"):
                if time.time() - file.stat().st_mtime > _WEEK:
                    file.unlink()

    def _path(self, plan: TrialPlan) -> Path:
        name = f"{self.study}-{plan.number:04d}-{plan.config.trainer.seed}.safetensors"
        return _folder() / name


def _folder() -> Path:
    return cache_dir() / "snapshots"
