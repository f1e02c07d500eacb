"""What a killed process or a failing disk left in a run directory, mended by the next process that holds it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sweep.records.store import RECORDS, Store

# Folders that are replaced as a whole (`sweep.engine.best.replace_folder`); `.new` and `.old` stand beside them on the way.
_REPLACED = ("trials/*/best", "trials/*/newest", "final", "methods/*")
_HALF_WRITTEN = ("*.tmp", "trials/*/*.tmp", "confirm/*.tmp", "retrained/*/*.tmp", "final/*.tmp", "methods/*/*.tmp",
                 "wandb-mock/**/*.partial")  # fmt: skip
_DAY = 24 * 3600.0


def recover(store: Store) -> list[str]:
    """Clear temporary files, bring folders that were half replaced to one of their states, and set aside records that
    cannot be read. Returns a line for each of these records. Only the holder of the run directory may call this."""
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


def clear_old(cache: Path) -> None:
    """Remove what killed processes left half written in the user's cache. Others may be writing to it now: what is younger
    than a day stays."""
    for file in (*cache.glob("*/*.tmp"), *cache.glob("*.tmp")):
        with suppress(OSError):
            if time.time() - file.stat().st_mtime > _DAY:
                file.unlink()


def _end_replacing(folder: Path) -> None:
    """A folder whose old state was moved away has its new state whole beside it."""
    fresh, former = folder.with_name(f"{folder.name}.new"), folder.with_name(f"{folder.name}.old")
    if former.exists() and not folder.exists():
        (fresh if fresh.exists() else former).replace(folder)
    for leftover in (fresh, former):
        shutil.rmtree(leftover, ignore_errors=True)


def _set_aside(store: Store) -> Iterator[str]:
    for pattern, key in RECORDS.items():
        for path in sorted(store.root.glob(pattern)):
            if _damaged(path, key):
                aside = _free(path)
                path.replace(aside)
                yield f"{path} is damaged; it is kept as {aside.name}, and what it said is taken from elsewhere or made again"


def _damaged(path: Path, key: str) -> bool:
    """Whether this is not the object that some version of the program wrote."""
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, IsADirectoryError, RecursionError):
        return True
    return not isinstance(found, dict) or key not in found


def _free(path: Path) -> Path:
    names = (path.with_name(f"{path.name}.damaged{ending}") for ending in ("", *(f"-{n}" for n in range(2, 1000))))
    return next(name for name in names if not name.exists())
