"""Files that can be made again, each with a checksum of its bytes in its name: a damaged one is never read.

One file appears whole or not at all, so that several processes may share a folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path


def find(folder: Path, key: str, suffix: str) -> Path | None:
    """The file that `keep` made for `key`; None where there is none whose bytes are still those that were written. A
    damaged one is removed, and a line on standard error says so."""
    for file in sorted(folder.glob(f"{key}.*{suffix}")):
        try:
            whole = checksum(file) == file.name[len(key) + 1 : -len(suffix)]
        except IsADirectoryError:
            whole = False
        except OSError:
            continue
        if whole:
            return file
        tell_damaged(file)
        remove(file)
    return None


def keep(folder: Path, key: str, suffix: str, write: Callable[[Path], None]) -> Path:
    """The file that `write` fills, under its final name. What `write` raises is raised, and nothing is left behind."""
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=folder, suffix=".tmp")
    os.close(handle)
    scratch = Path(name)
    try:
        write(scratch)
        file = folder / f"{key}.{checksum(scratch)}{suffix}"
        scratch.replace(file)
    finally:
        scratch.unlink(missing_ok=True)
    return file


def key_of(file: Path) -> str:
    """The key that `keep` was given for the file. A key must hold no dot."""
    return file.name.split(".", 1)[0]


def checksum(file: Path) -> str:
    """BLAKE2b of the bytes, 32 hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def tell_damaged(place: Path) -> None:
    """One line on standard error."""
    print(f"sweep: {place} is damaged, and is made again", file=sys.stderr)


def remove(file: Path) -> None:
    """In a folder that cannot be written to the file stays; whoever makes it again is told by the system. A folder of that
    name goes too."""
    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file, ignore_errors=True)
        return
    try:
        file.unlink(missing_ok=True)
    except OSError:
        return
