"""Temporary folders of processes that were killed."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path


def clear_left_over(prefix: str, parent: str | None = None) -> None:
    """Delete the temporary folders whose name is this prefix and the id of a process that has
    ended on this machine. `parent` is the folder where they are; None is the system's.
    """
    for folder in Path(parent or tempfile.gettempdir()).glob(f"{prefix}*"):
        process = folder.name.removeprefix(prefix).partition("-")[0]
        if process.isdecimal() and not Path(f"/proc/{process}").exists():
            shutil.rmtree(folder, ignore_errors=True)
