"""Folders that were written by `save_to_disk` of `datasets`."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path
from typing import Any

from sweep.data.raw import Raw, Source, joined
from sweep.errors import UserError, first_line


def is_saved(folder: Path) -> bool:
    """Return whether the folder holds a saved `DatasetDict` or `Dataset`."""
    return (folder / "dataset_dict.json").is_file() or is_saved_split(folder)


def is_saved_split(folder: Path) -> bool:
    """Return whether the folder holds a saved `Dataset`."""
    return (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()


def open_saved(folder: Path, wanted: Set[str]) -> Source:
    """Return a source with the splits of a saved `DatasetDict`; a single saved `Dataset` is train.

    Raises UserError.
    """
    from sweep.data.hub import split_of

    if not is_saved_split(folder):
        loaded = _load(folder, "dataset.path")
        return Source(lambda key, split: joined(key, split, lambda name: split_of(loaded, key, name, wanted)))

    def read(key: str, split: str) -> Raw:
        if key != "dataset.train_split":
            rule = f"is {split}, but dataset.path is one saved Dataset, all of it train; save a DatasetDict"
            raise UserError.of(key, f"{rule}, or set {key}=null")
        return read_saved(folder, "dataset.path", wanted)

    return Source(read)


def read_saved(folder: Path, key: str, wanted: Set[str]) -> Raw:
    """Return the rows of a saved `Dataset`. Raises UserError with the config key `key`."""
    from sweep.data.hub import from_dataset

    return from_dataset(_load(folder, key), wanted)


def _load(folder: Path, key: str) -> Any:
    """Return a saved `Dataset`, or a mapping of several."""
    import datasets
    import pyarrow as pa

    try:
        return datasets.load_from_disk(str(folder))
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        pa.ArrowException,
        datasets.exceptions.DatasetsError,
    ) as error:
        raise UserError.of(
            key, f"{folder} was written by save_to_disk, but cannot be read: {first_line(error)}"
        ) from None
