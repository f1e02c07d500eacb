"""Files that are written whole: a reader, or a crash, meets the old content or the new, never half of it."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from sweep.errors import naming


def write_whole(path: Path, data: str | bytes) -> None:
    """Replace `path`, whose folder is made where it is missing. The content is on the disk when this returns.

    Raises OSError that names `path`, with the old file in its place.
    """
    scratch = path.with_name(path.name + ".tmp")
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with scratch.open("wb") as file:
                file.write(data.encode() if isinstance(data, str) else data)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(path)
        except OSError:
            with suppress(OSError):
                scratch.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def append_line(path: Path, line: str) -> None:
    """Add a line, which is on the disk when this returns. An end without a line break, which an earlier call did not come
    to finish, is cut off first."""
    with naming(path), path.open("ab+") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
        file.write(line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """So that the new name of a file outlives a power failure too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that cannot do so
            raise
    finally:
        os.close(handle)
