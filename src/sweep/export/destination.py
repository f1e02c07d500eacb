"""A folder that appears as a whole, or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sweep.errors import UserError


@contextmanager
def filled(folder: Path) -> Iterator[Path]:
    """Yield a new folder, which takes the place of `folder` when the context ends without an
    error, and is deleted otherwise. `folder` is absent or empty.

    Raises UserError where no folder can be made there.
    """
    folder = folder.absolute()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        fresh = beside / folder.name
        fresh.mkdir()  # with the mode of the user's umask
    except OSError as error:
        raise UserError.of(str(folder), f"cannot be made: {error.strerror or error}") from None
    try:
        yield fresh
        fresh.replace(folder)  # an empty folder may be in its place
    finally:
        shutil.rmtree(beside, ignore_errors=True)
