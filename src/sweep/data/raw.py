"""A split as it is stored, before anything is made of its columns."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from sweep.config.schema import DatasetConfig
from sweep.errors import UserError, first_line

OF_TEXT = ("encoding", "delimiter", "quoting")  # fields of the config that say how a text file is read
OF_HUB = ("name", "revision")


@dataclass(frozen=True, slots=True)
class Raw:
    """`table` holds the wanted columns that are there, `columns` names all that are there. `typed` is false
    where the format knows only text, so that the text of its cells must tell numbers from names. `notes` is what
    the user should know of how it was read. `form` is the format in a word, `unread` the
    fields of the config that say nothing to it."""

    table: pa.Table
    columns: tuple[str, ...]
    typed: bool
    notes: tuple[str, ...] = ()
    form: str = ""
    unread: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """A table without columns has no rows either, whatever the file holds."""
        return self.table.num_rows == 0 and (self.table.num_columns > 0 or not self.columns)


@dataclass(frozen=True, slots=True)
class Source:
    """`read(key, split)` gives a split; a `UserError` from it carries `key`, the config key that named the
    split. `revision` is the hub's commit, empty for local files; `unread` are the fields of the config that say nothing
    to the source; `notes` are what the user should know of it."""

    read: Callable[[str, str], Raw]
    revision: str = ""
    unread: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def idle(config: DatasetConfig, said: Callable[[str], bool], fields: Iterable[str], why: str) -> Iterator[str]:
    """A note of those of `fields` that have no effect, though the user gave them a value other than the default. `said` tells of a
    config key whether it was the user who set it, not a config that ships."""
    given = {f"dataset.{name}": getattr(config, name) for name in fields if getattr(config, name) != _default(name)}
    given = {key: value for key, value in given.items() if said(key)}
    if given:
        named = " and ".join(f"{key} ({_shown(value)})" for key, value in given.items())
        yield f"{named} {'has' if len(given) == 1 else 'have'} no effect: {why}"


def _shown(value: object) -> str:
    plain = isinstance(value, str) and value.isprintable() and value == value.strip() and value != ""
    return str(value) if plain else json.dumps(value)


def _default(name: str) -> object:
    return DatasetConfig.model_fields[name].default


def joined(key: str, split: str, read: Callable[[str], Raw]) -> Raw:
    """A split named `A+B` is the rows of A, then those of B, as in `datasets`."""
    return concatenated(key, split, [read(name.strip()) for name in split.split("+")])


def concatenated(key: str, split: str, parts: list[Raw]) -> Raw:
    """Keeps the columns that all parts have. Raises `UserError` where their types differ."""
    if len(parts) == 1:
        return parts[0]
    shared = tuple(name for name in parts[0].columns if all(name in part.columns for part in parts))
    held = [name for name in parts[0].table.column_names if name in shared]
    try:
        table = pa.concat_tables([part.table.select(held) for part in parts], promote_options="permissive")
    except pa.ArrowException as error:
        raise UserError.of(key, f"is {split}, whose parts do not fit together: {first_line(error)}") from None
    return Raw(
        table,
        shared,
        all(part.typed for part in parts),
        notes=tuple(note for part in parts for note in part.notes),
        form=" and ".join(dict.fromkeys(part.form for part in parts)),
        unread=tuple(name for name in parts[0].unread if all(name in part.unread for part in parts)),
    )


def listed(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) + more) or "nothing"
