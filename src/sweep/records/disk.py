"""Atomic writes: after a crash a file has its old content or its new content."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from sweep.errors import naming

_TRIES = 3


def write_whole(path: Path, data: str | bytes, *, sync: bool = True) -> None:
    """Replace the file at `path`, and make its folder. The content is on the disk when this
    returns; without `sync` the operating system has it, which a killed process does not change.
    Two processes may write the same file: each has a temporary file of its own.

    Raises OSError that names `path`; the old file is then still there.
    """
    scratch = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for more in reversed(range(_TRIES)):
            try:
                _write(scratch, data.encode() if isinstance(data, str) else data, sync=sync)
                scratch.replace(path)
                break
            except OSError as error:
                with suppress(OSError):
                    scratch.unlink(missing_ok=True)
                # A process that repairs the run directory meanwhile deletes temporary files.
                if not (more and isinstance(error, FileNotFoundError)):
                    raise
        if sync:
            _sync_folder(path.parent)


def _write(path: Path, data: bytes, *, sync: bool) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        if sync:
            os.fsync(file.fileno())


def sync_file(path: Path) -> None:
    """Wait until a file's content is on the disk. Raises OSError that names `path`."""
    with naming(path), path.open("rb") as file:
        os.fsync(file.fileno())


def append_line(path: Path, line: str) -> None:
    """Append a line, which is on the disk when this returns.

    A last line without a line break, which a crash left, is cut off first. Raises OSError that
    names `path`.
    """
    with naming(path), path.open("ab+") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
        file.write(line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Flush the folder, so that the new name of a file survives a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # not supported by the file system
            raise
    finally:
        os.close(handle)
