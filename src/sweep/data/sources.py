"""`dataset.path` → where the rows are read from: a folder, a file, or the hub."""

from __future__ import annotations

import re
from collections.abc import Set
from functools import partial
from pathlib import Path

from sweep.config.schema import DatasetConfig
from sweep.data.files import ENDINGS, read_from_folder, read_only_file
from sweep.data.raw import Source
from sweep.errors import UserError

HUB_ID = re.compile(r"\w[\w.-]*(/[\w.-]+)?")


def open_source(config: DatasetConfig, wanted: Set[str]) -> Source:
    """`wanted` names the columns worth reading. Raises `UserError` where there is no such data."""
    path = Path(config.path).expanduser()
    if config.path and path.is_dir():
        return Source(partial(read_from_folder, path, config=config, wanted=wanted))
    if config.path and path.is_file():
        return Source(partial(read_only_file, path, config=config, wanted=wanted))
    if HUB_ID.fullmatch(config.path) and path.suffix not in ENDINGS:
        from sweep.data.hub import open_hub

        return open_hub(config, wanted)
    raise UserError.of("dataset.path", f"is {config.path!r}, but {path.absolute()} is no folder or file")
