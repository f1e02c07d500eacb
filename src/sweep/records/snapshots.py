"""The snapshots of a run directory: one file for each training that has not ended."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sweep.records.disk import sync_file, write_whole
from sweep.records.snapshot import BrokenSnapshotError, Snapshot, read_header

FOLDER = "snapshots"
TRIAL = "trial-"  # the start of a trial's key
RETRAIN = "retrain-"  # the start of a retraining's key
_ENDING = ".safetensors"

# A snapshot waits for the disk (8 ms where this was measured) this often. A kill of the process
# costs nothing without it; a power failure may cut off a snapshot that has not waited.
SYNC_EVERY = 30.0

# The sizes of all snapshots are looked up this often: looking at those of hundreds of trials takes
# longer than writing one.
_LOOK_EVERY = 5.0

# All snapshots together leave this share of the space that would be free without them.
_LEFT_FREE = 0.1


def trial_key(number: int) -> str:
    return f"{TRIAL}{number:04d}"


def confirm_key(number: int, index: int) -> str:
    """Return the key of the `index`-th training of a trial with a fresh seed."""
    return f"confirm-{number:04d}-{index}"


def retrain_key(number: int) -> str:
    return f"{RETRAIN}{number:04d}"


def refit_key(number: int) -> str:
    return f"refit-{number:04d}"


def _ignore(_line: str) -> None:
    """Tell nobody."""


@dataclass(slots=True)
class Snapshots:
    """The newest snapshot of each training, by the training's key.

    No method raises OSError: without a snapshot a training begins anew after a stop. `say` takes
    a line for the user where a snapshot could not be kept or read; of those that could not be
    kept one line is said until one is kept again.
    """

    run_dir: Path
    say: Callable[[str], None] = _ignore
    _synced: dict[str, float] = field(default_factory=dict)
    _told: bool = False
    _sizes: dict[str, int] = field(default_factory=dict)  # of all snapshots in the folder, by file name
    _looked: float = -math.inf

    def write(self, key: str, snapshot: Snapshot, events: Path | None = None) -> bool:
        """Replace the snapshot of a training. Return False, with the former one kept, where the
        disk has no room for it or fails.

        `events` is the training's events.jsonl, which waits for the disk before each snapshot
        that does.
        """
        path = self._path(key)
        try:
            if not self._has_room(path, len(snapshot.data)):
                return self._not_kept("the disk is nearly full")
            sync = self._sync_due(key)
            if sync and events is not None and events.exists():
                sync_file(events)
            write_whole(path, snapshot.data, sync=sync)
            self._sizes[path.name] = len(snapshot.data)
        except OSError as error:
            return self._not_kept(error.strerror or str(error))
        self._told = False
        return True

    def read(self, key: str) -> Snapshot | None:
        """Return the snapshot of a training; None if it has none, one that cannot be read, or a
        damaged one, which is deleted."""
        path = self._path(key)
        try:
            found = Snapshot(path.read_bytes())
            found.metadata  # noqa: B018  # raises
        except FileNotFoundError:
            return None
        except OSError as error:
            self._say_anew(key, f"cannot be read ({error.strerror or error})")
            return None
        except BrokenSnapshotError as error:
            self._say_anew(key, str(error))
            self.drop(key)
            return None
        return found

    def _say_anew(self, key: str, why: str) -> None:
        self.say(f"{self._path(key)} {why}: {key.partition('-')[0]} {key.partition('-')[2]} begins anew")

    def step(self, key: str) -> int:
        """Return the number of optimizer steps before the snapshot of a training; 0 without
        one."""
        with suppress(OSError, BrokenSnapshotError):
            return Snapshot(read_header(self._path(key))).step
        return 0

    def drop(self, key: str) -> None:
        """Delete the snapshot of a training that has ended."""
        self._synced.pop(key, None)
        self._sizes.pop(self._path(key).name, None)
        with suppress(OSError):
            self._path(key).unlink(missing_ok=True)

    def keys(self) -> list[str]:
        """Return the keys of all snapshots, sorted."""
        return sorted(path.name.removesuffix(_ENDING) for path in self._folder.glob(f"*{_ENDING}"))

    @property
    def _folder(self) -> Path:
        return self.run_dir / FOLDER

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}{_ENDING}"

    def _has_room(self, path: Path, size: int) -> bool:
        self._folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self._folder).free
        self._look()
        held = sum(self._sizes.values())
        without = free + held
        after = held - self._sizes.get(path.name, 0) + size
        # The former snapshot is on the disk until the new one is complete.
        return size <= free and after <= (1 - _LEFT_FREE) * without

    def _look(self) -> None:
        """Look up the sizes of all snapshots in the folder, which other processes may write to."""
        now = time.monotonic()
        if now - self._looked >= _LOOK_EVERY:
            self._looked = now
            found = (one for one in os.scandir(self._folder) if one.name.endswith(_ENDING))
            self._sizes = {one.name: one.stat().st_size for one in found}

    def _sync_due(self, key: str) -> bool:
        now = time.monotonic()
        due = now - self._synced.setdefault(key, now) >= SYNC_EVERY
        if due:
            self._synced[key] = now
        return due

    def _not_kept(self, reason: str) -> bool:
        if not self._told:
            self.say(
                f"a snapshot was not kept ({reason}): after a stop its training goes on from an earlier one, or begins anew"
            )
        self._told = True
        return False
