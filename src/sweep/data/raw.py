"""A split as it is stored, before its columns are interpreted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from sweep.config.schema import DatasetConfig
from sweep.errors import UserError, first_line

OF_TEXT = ("encoding", "delimiter", "quoting")  # keys for text files
OF_HUB = ("name", "revision")


@dataclass(frozen=True, slots=True)
class Raw:
    """A stored split.

    `table` holds the wanted columns that exist; `columns` names all columns. `typed` is false for
    a format that stores only text, in which numbers are recognised by their text. `notes` are
    notes for the user; `form` is the name of the format; `unread` are the config keys without
    effect on it.
    """

    table: pa.Table
    columns: tuple[str, ...]
    typed: bool
    notes: tuple[str, ...] = ()
    form: str = ""
    unread: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Return whether the split has no rows.

        A table without wanted columns has none, whatever the file holds.
        """
        return self.table.num_rows == 0 and (self.table.num_columns > 0 or not self.columns)


@dataclass(frozen=True, slots=True)
class Source:
    """A source of splits.

    `read(key, split)` returns a split; its UserError names `key`, the config key of the split.
    `revision` is the commit of the hub, empty for local files; `unread` are the config keys
    without effect on the source; `notes` are notes for the user.
    """

    read: Callable[[str, str], Raw]
    revision: str = ""
    unread: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def idle(config: DatasetConfig, said: Callable[[str], bool], fields: Iterable[str], why: str) -> Iterator[str]:
    """Yield a note on those of `fields` that the user set to another value than the default, and
    that have no effect.

    `said` returns whether the user set a config key, rather than a shipped config.
    """
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
    """Return the rows of a split. `A+B` has the rows of A, then those of B, as in `datasets`."""
    return concatenated(key, split, [read(name.strip()) for name in split.split("+")])


def concatenated(key: str, split: str, parts: list[Raw]) -> Raw:
    """Return the rows of all parts, with the columns that all of them have.

    Raises UserError if their types differ.
    """
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
    """Return names as a list in words, cut after `most` of them."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) + more) or "nothing"
