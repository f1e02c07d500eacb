"""A folder that appears as a whole, or not at all."""

from __future__ import annotations

import errno
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from sweep.errors import UserError

_HELD = ".held"  # in a temporary folder: the process that fills it holds this file

_CANNOT_BE_REPLACED = (errno.EBUSY, errno.EXDEV)  # a mount that is_mount does not know, such as a bind mount


@contextmanager
def filled(folder: Path) -> Iterator[Path]:
    """Yield a new folder, which takes the place of `folder` when the context ends without an
    error, and is deleted otherwise. `folder` is absent or empty. Temporary folders of earlier
    processes that were killed are deleted.

    An empty folder that cannot be replaced, such as a mount, or that is the working directory,
    stays and gets the files. Raises UserError where no folder can be made there.
    """
    folder = folder.resolve()  # of a link to a folder, which stays
    fixed = folder.is_dir() and (_is_here(folder) or folder.is_mount() or not os.access(folder.parent, os.W_OK))
    home = folder if fixed else folder.parent
    try:
        home.mkdir(parents=True, exist_ok=True)
        for left in left_over(folder):
            shutil.rmtree(left, ignore_errors=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=home))
        held = FileLock(beside / _HELD, timeout=0)
        held.acquire()
        fresh = beside / folder.name
        fresh.mkdir()  # with the mode of the user's umask
    except OSError as error:
        raise _unfit(folder, "made", error) from None
    try:
        yield fresh
        try:
            move = _fill if fixed else _replace
            move(fresh, folder)
        except OSError as error:
            raise _unfit(folder, "filled", error) from None
    finally:
        held.release()
        shutil.rmtree(beside, ignore_errors=True)


def _is_here(folder: Path) -> bool:
    """Return whether a folder is the working directory: a shell in it would stay in the one that
    was replaced, and find no file."""
    return folder.samefile(Path.cwd())


def left_over(folder: Path) -> list[Path]:
    """Return the temporary folders of processes that were killed while they filled `folder`."""
    folder = folder.resolve()
    pattern = f".{glob.escape(folder.name)}.*/{_HELD}"
    return [held.parent for home in (folder, folder.parent) for held in home.glob(pattern) if _free(held)]


def _free(held: Path) -> bool:
    """Return whether no process holds a file. On a file system without locks that is not known."""
    try:
        with FileLock(held, timeout=0):
            return True
    except (Timeout, OSError, NotImplementedError):
        return False


def _replace(fresh: Path, folder: Path) -> None:
    try:
        fresh.replace(folder)  # an empty folder may be in its place
    except OSError as error:
        if error.errno not in _CANNOT_BE_REPLACED:
            raise
        _fill(fresh, folder)


def _fill(fresh: Path, folder: Path) -> None:
    """Move all files to `folder`, or none. Raises OSError where it has files of others by now."""
    if any(one != fresh.parent for one in folder.iterdir()):
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
    moved: list[Path] = []
    try:
        for one in fresh.iterdir():
            moved.append(folder / one.name)
            shutil.move(one, moved[-1])
    except BaseException:
        for one in moved:
            if one.is_dir():
                shutil.rmtree(one)
            else:
                one.unlink(missing_ok=True)
        raise


def _unfit(folder: Path, what: str, error: OSError) -> UserError:
    return UserError.of(str(folder), f"cannot be {what}: {error.strerror or error}")
