"""Cache files, each with a checksum of its bytes in its name, so that a damaged file is never
read.

A file is written under another name first, so that several processes may share a folder.
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
    """Return the file that `keep` made for `key`, or None if there is none.

    A file whose bytes have changed is deleted, with a line on standard error.
    """
    for file in sorted(folder.glob(f"{key}.*{suffix}")):
        try:
            intact = checksum(file) == file.name[len(key) + 1 : -len(suffix)]
        except IsADirectoryError:
            intact = False
        except OSError:
            continue
        if intact:
            return file
        tell_damaged(file)
        remove(file)
    return None


def keep(folder: Path, key: str, suffix: str, write: Callable[[Path], None]) -> Path:
    """Return the file that `write` fills, under its final name.

    An error of `write` is passed on, and no file is left.
    """
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
    """Return the key that `keep` was given for the file. A key has no dot."""
    return file.name.split(".", 1)[0]


def checksum(file: Path) -> str:
    """Return the BLAKE2b hash of a file's bytes, as 32 hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def tell_damaged(place: Path) -> None:
    """Print a line on a damaged file to standard error."""
    print(f"sweep: {place} is damaged, and is made again", file=sys.stderr)


def remove(file: Path) -> None:
    """Delete a file, or a folder of that name.

    In a folder that cannot be written to it stays: writing it again fails.
    """
    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file, ignore_errors=True)
        return
    try:
        file.unlink(missing_ok=True)
    except OSError:
        return
