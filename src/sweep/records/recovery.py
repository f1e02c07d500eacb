"""Repair of a run directory that a killed process or a failing disk left incomplete.

The next process that holds the run directory does it.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sweep.errors import UserError
from sweep.records.migrations import SCHEMA_VERSION, version_of
from sweep.records.store import RECORDS, Store

# Folders that are replaced as a whole (`sweep.engine.best.replace_folder`), by way of `.new` and
# `.old` beside them.
_REPLACED = ("trials/*/best", "trials/*/newest", "final", "methods/*")
_HALF_WRITTEN = ("*.[0-9]*.tmp", "trials/*/*.tmp", "confirm/*.tmp", "retrained/*/*.tmp", "final/*.tmp", "methods/*/*.tmp",
                 "snapshots/*.tmp", "unfinished/*/*.tmp", "study/*.tmp", "figures/*.tmp",
                 "wandb-mock/**/*.partial")  # fmt: skip
# Files and folders that a study replaces or deletes as a whole; and files that show that a folder is
# that of a study, even if its lock is lost.
_OF_A_STUDY = (
    ".scratch",
    "figures",
    "final",
    "methods",
    "report.html",
    "report.md",
    "retrained",
    "snapshots",
    "trials",
)
_SIGNS = ("lock.json", ".held", ".id")
_DAY = 24 * 3600.0


def recover(store: Store) -> list[str]:
    """Delete temporary files, finish or undo folder replacements, and rename records that cannot
    be read.

    Return a line for each renamed record. Only the process that holds the run directory may call
    this. Another one may write a report meanwhile: `write_whole` writes again what is deleted.
    """
    for folder in (store.scratch, *store.root.glob("wandb-mock/incoming/*/")):
        shutil.rmtree(folder, ignore_errors=True)
    for pattern in _HALF_WRITTEN:
        for file in store.root.glob(pattern):
            with suppress(OSError):
                file.unlink()
    for pattern in _REPLACED:
        for leftover in (*store.root.glob(f"{pattern}.new"), *store.root.glob(f"{pattern}.old")):
            _end_replacing(leftover.with_suffix(""))
    return list(_set_aside(store))


def refuse_foreign(root: Path) -> None:
    """Raise UserError where a folder that is no run directory holds files which a study there
    would replace or delete."""
    foreign = [name for name in _OF_A_STUDY if os.path.lexists(root / name)]
    if foreign and not any((root / name).exists() for name in _SIGNS):
        rule = f"is {root}, which is no run directory (it has no lock.json), but holds {', '.join(foreign)}"
        raise UserError.of("run_dir", f"{rule}, which a study would write over; name a new folder")


def clear_old(cache: Path) -> None:
    """Delete incomplete files of killed processes from the user's cache.

    Files younger than a day stay, since another process may be writing them.
    """
    for file in (file for pattern in ("*.tmp", "*/*.tmp", "kept/*/snapshots/*.tmp") for file in cache.glob(pattern)):
        with suppress(OSError):
            if time.time() - file.stat().st_mtime > _DAY:
                file.unlink()


def _end_replacing(folder: Path) -> None:
    """Finish the replacement of a folder.

    Its new state is complete as soon as the old one has been moved away.
    """
    fresh, former = folder.with_name(f"{folder.name}.new"), folder.with_name(f"{folder.name}.old")
    if former.exists() and not folder.exists():
        (fresh if fresh.exists() else former).replace(folder)
    for leftover in (fresh, former):
        shutil.rmtree(leftover, ignore_errors=True)


def _set_aside(store: Store) -> Iterator[str]:
    """Rename each record that is damaged. Yield a line for each."""
    for pattern, key in RECORDS.items():
        for path in sorted(store.root.glob(pattern)):
            if _damaged(path, key):
                aside = _free(path)
                path.replace(aside)
                kept = f"{path} is damaged; it is kept as {aside.name}"
                yield f"{kept}, and its contents are restored from other records or made again"


def _damaged(path: Path, key: str) -> bool:
    """Return whether no version of the program wrote this.

    Reading a record of a newer version is refused elsewhere.
    """
    try:
        found = json.loads(path.read_bytes())
        newer = isinstance(found, dict) and version_of(found) > SCHEMA_VERSION
    except (ValueError, IsADirectoryError, RecursionError):
        return True
    return not newer and (not isinstance(found, dict) or key not in found)


def _free(path: Path) -> Path:
    """Return a name beside `path` that no file has."""
    names = (path.with_name(f"{path.name}.damaged{ending}") for ending in ("", *(f"-{n}" for n in range(2, 1000))))
    return next(name for name in names if not name.exists())
