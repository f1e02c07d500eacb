"""Snapshots of trainings of all weights (`study.snapshots=always`).

They are several times as large as the model, and stay on the disk of the worker that took them.
"""

from __future__ import annotations

import logging
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sweep.config.folders import cache_dir
from sweep.records.recovery import clear_old
from sweep.records.snapshot import Snapshot
from sweep.records.snapshots import Snapshots
from sweep.records.trial import TrialPlan

logger = logging.getLogger(__name__)

_WEEK = 7 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Kept:
    """Says that the snapshots of a training stay on its worker's disk: under `key`, among those of
    the study with this id."""

    study: str
    key: str

    @property
    def snapshots(self) -> Snapshots:
        return kept_snapshots(self.study)

    def drop(self) -> None:
        """Delete the snapshot of a training that has ended, where it is on this machine."""
        Snapshots(_folder(self.study)).drop(self.key)


def kept_key(plan: TrialPlan) -> str:
    """Return the key of a training of the search or of the confirmation among `kept_snapshots`."""
    number, seed = plan.key
    return f"trial-{number:04d}-{seed}"


def kept_snapshots(study: str) -> Snapshots:
    """Return the snapshots of a study's trainings on this machine, in the user's cache. Those of
    any other study that nobody wrote for a week are deleted, and what killed workers left
    incomplete. This study's stay: it goes on now, however long it was stopped or the clock jumped.

    `study` is the id of the study's run directory.
    """
    clear_old(cache_dir())
    folder = _folder(study)
    for other in (one for one in folder.parent.glob("*/snapshots") if one.parent != folder):
        with suppress(OSError):
            if time.time() - other.stat().st_mtime > _WEEK:  # the folder changes with each snapshot
                shutil.rmtree(other.parent)
    return Snapshots(folder, logger.warning)


def _folder(study: str) -> Path:
    return cache_dir() / "kept" / study


def newest(snapshot: Snapshot | None, kept: Snapshots, key: str) -> Snapshot | None:
    """Return the snapshot of a training that the coordinator has, or the one of this `key` among
    `kept` where that was taken later: the launcher may have changed in between."""
    if snapshot is not None and kept.step(key) <= snapshot.step:
        return snapshot
    return kept.read(key) or snapshot


def take_over(own: Snapshots, own_key: str, kept: Kept) -> None:
    """Move a snapshot that a worker of this machine kept to those of the run directory, unless
    that has a later one: the training goes on in this process."""
    theirs = kept.snapshots
    if theirs.step(kept.key) <= own.step(own_key):
        return
    found = theirs.read(kept.key)
    if found is not None and own.write(own_key, found):
        theirs.drop(kept.key)
