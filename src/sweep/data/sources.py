"""The source that `dataset.path` names: a folder, a file, or a data set of the hub."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from dataclasses import replace
from functools import partial
from pathlib import Path

from sweep.config.folders import expanded
from sweep.config.schema import DatasetConfig
from sweep.data.file_formats import kind_of
from sweep.data.files import read_from_folder, read_only_file
from sweep.data.raw import OF_HUB, Raw, Source
from sweep.data.saved import is_saved, is_saved_split, open_saved
from sweep.errors import UserError, shortened

_VALIDATION = ("validation", "valid", "val", "dev", "eval")  # common names of a validation split
HUB_ID = re.compile(r"\w[\w.-]*(/[\w.-]+)?")


def open_source(config: DatasetConfig, wanted: Set[str]) -> Source:
    """Return the source of the rows.

    `wanted` are the columns to read. Raises UserError if there is no such data.
    """
    path = expanded(config.path)
    if config.path and _is_there(path):
        try:
            return _local(path, config, wanted)
        except OSError as error:
            raise _unreadable(path, error) from None
    if config.path and path.is_symlink():
        raise UserError.of("dataset.path", f"is {config.path}, which is a link to a file that is not there")
    if HUB_ID.fullmatch(config.path) and kind_of(path) is None:
        from sweep.data.hub import open_hub

        return open_hub(config, wanted)
    raise UserError.of("dataset.path", f"is {config.path!r}, but {path.absolute()} is no folder or file")


def _local(path: Path, config: DatasetConfig, wanted: Set[str]) -> Source:
    if not (path.is_dir() or path.is_file()):
        raise UserError.of("dataset.path", f"is {config.path!r}, which is neither a folder nor a regular file")
    notes = tuple(_unread(path, config))
    return replace(_stored(path, config, wanted), notes=notes, unread=OF_HUB)


def _stored(path: Path, config: DatasetConfig, wanted: Set[str]) -> Source:
    if path.is_dir() and is_saved(path):
        return open_saved(path, wanted)
    read = partial(read_from_folder if path.is_dir() else read_only_file, path, config=config, wanted=wanted)

    def guarded(key: str, split: str) -> Raw:
        try:
            return read(key, split)
        except OSError as error:
            raise UserError.of(
                key, f"is {shortened(split, 200)}, which cannot be looked for in {path}: {error.strerror}"
            ) from None

    return Source(guarded)


def _is_there(path: Path) -> bool:
    """Return whether the path exists. Raises UserError if the system cannot tell."""
    try:
        return path.exists()
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> UserError:
    return UserError.of("dataset.path", f"is {shortened(str(path), 200)}, which cannot be read: {error.strerror}")


def _unread(folder: Path, config: DatasetConfig) -> Iterator[str]:
    """Yield a note if the folder has a validation split that is not used, while validation rows
    are cut off train."""
    named = (config.train_split, config.validation_split, config.test_split)
    parts = {
        part for one in named if one for text in ([one] if isinstance(one, str) else one) for part in text.split("+")
    }
    if config.validation_split is not None or not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        kind = kind_of(path) if path.is_file() else None
        name = path.name if is_saved_split(path) else kind.stem if kind else ""
        if name in _VALIDATION and not {name, path.name} & {part.strip() for part in parts}:
            yield (
                f"{path.name} is not read: validation rows are cut off train; dataset.validation_split={name} takes them "
                "from there"
            )
