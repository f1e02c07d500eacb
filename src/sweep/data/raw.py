"""A split as it is stored, before anything is made of its columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from sweep.config.schema import DatasetConfig
from sweep.errors import UserError, first_line


@dataclass(frozen=True, slots=True)
class Raw:
    """`table` holds the wanted columns that are there, `columns` names all that are there. `typed` is false
    where the format knows only text, so that the text of its cells must tell numbers from names. `notes` is what
    the user should know of how it was read."""

    table: pa.Table
    columns: tuple[str, ...]
    typed: bool
    notes: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """A table without columns has no rows either, whatever the file holds."""
        return self.table.num_rows == 0 and (self.table.num_columns > 0 or not self.columns)


@dataclass(frozen=True, slots=True)
class Source:
    """`read(key, split)` gives a split; a `UserError` from it carries `key`, the config key that named the
    split. `revision` is the hub's commit, empty for local files; `notes` is what the user should know of the whole
    source."""

    read: Callable[[str, str], Raw]
    revision: str = ""
    notes: tuple[str, ...] = ()


def without_encoding(config: DatasetConfig, what: str) -> tuple[str, ...]:
    """A note where `dataset.encoding` is set for what is no text file."""
    if config.encoding == DatasetConfig.model_fields["encoding"].default:
        return ()
    return (f"dataset.encoding ({config.encoding}) has no effect on {what}",)


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
    notes = tuple(note for part in parts for note in part.notes)
    return Raw(table, shared, all(part.typed for part in parts), notes)


def listed(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) + more) or "nothing"
