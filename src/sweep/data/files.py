"""Local files: delimited text, JSON and Parquet.

Read without `datasets`, which takes half a second to import and copies every file into a cache of
its own.
"""

from __future__ import annotations

import re
from collections.abc import Set
from pathlib import Path

import pyarrow as pa

from sweep.config.schema import DatasetConfig
from sweep.data.delimited import read_delimited
from sweep.data.file_formats import DELIMITERS, JSON, KNOWN, Kind, kind_of, read_bytes, reason_unread
from sweep.data.json_rows import read_json
from sweep.data.nested import dotted_names, held_by, pick
from sweep.data.raw import OF_TEXT, Raw, concatenated, joined, listed
from sweep.data.saved import is_saved_split, read_saved
from sweep.errors import UserError, first_line

_PART = re.compile(r"-\d{5}-of-\d{5}")  # how the hub numbers the files of a split


def read_from_folder(folder: Path, key: str, split: str, *, config: DatasetConfig, wanted: Set[str]) -> Raw:
    """Return a split of a folder. Raises UserError with the config key `key`."""

    def read(name: str) -> Raw:
        if name and is_saved_split(folder / name):
            return read_saved(folder / name, key, wanted)
        files = _files(folder, key, name)
        return concatenated(key, split, [_read(file, key, config=config, wanted=wanted) for file in files])

    return read(split) if (folder / split).is_file() else joined(key, split, read)


def read_only_file(path: Path, key: str, split: str, *, config: DatasetConfig, wanted: Set[str]) -> Raw:
    """Return the train split of a data set that is one file. Raises UserError."""
    if key != "dataset.train_split":
        rule = f"is {split}, but dataset.path is one file, all of it train; name a folder, or set {key}=null"
        raise UserError.of(key, rule)
    return _read(path, "dataset.path", config=config, wanted=wanted)


def _files(folder: Path, key: str, name: str) -> list[Path]:
    """Return the file with that exact name, else NAME.ending, else the numbered parts in which the
    hub stores a split."""
    if name and (folder / name).is_file():
        return [folder / name]
    there = sorted(folder.iterdir())
    kinds = {file: kind for file in there if file.is_file() and (kind := kind_of(file))}
    named = [file for file, kind in kinds.items() if kind.stem == name]
    if len(named) > 1:
        several = listed([file.name for file in named])
        raise UserError.of(
            key, f"is {name}, but {folder} has several such files: {several}; give the whole name of one"
        )
    found = named or [file for file, kind in kinds.items() if _PART.fullmatch(kind.stem.removeprefix(name))]
    if not found:
        raise UserError.of(key, f"is {name}, but {folder} has no file of that name{_instead(there, kinds)}")
    return found


def _instead(there: list[Path], kinds: dict[Path, Kind]) -> str:
    """Return what the folder holds: files that can be named, and files that are not read, with the
    reason."""
    unread = {path.name: reason_unread(path) for path in there if path not in kinds and not path.name.startswith(".")}
    unread_names = [
        f"{name} ({reason})" if reason else name for name, reason in sorted(unread.items(), key=lambda one: not one[1])
    ]
    endings = f", nor with an ending of {KNOWN}; it holds: {listed([file.name for file in kinds])}"
    return endings + (f"; not read: {listed(unread_names, 5)}" if unread_names else "")


def _read(path: Path, key: str, *, config: DatasetConfig, wanted: Set[str]) -> Raw:
    kind = kind_of(path)
    if kind is None:
        why = reason_unread(path) or "its ending is not known"
        raise UserError.of(key, f"{path} is not read ({why}); known endings are {KNOWN}")
    try:
        if kind.ending in DELIMITERS:
            return read_delimited(path, kind, config, wanted)
        if kind.ending in JSON:
            return read_json(read_bytes(path, kind.codec), config, wanted)
        return _read_parquet(path, wanted)
    except (pa.ArrowException, ValueError, OSError) as error:
        raise UserError.of(key, f"{path} cannot be read: {first_line(error)}") from None


def _read_parquet(path: Path, wanted: Set[str]) -> Raw:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        schema = file.schema_arrow
        table = file.read(columns=held_by(wanted, schema))
    return Raw(pick(table, wanted), dotted_names(schema), typed=True, form="Parquet", unread=OF_TEXT)
