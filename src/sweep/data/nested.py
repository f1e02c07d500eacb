"""Fields of struct columns by dotted names, such as `meta.text`."""

from __future__ import annotations

from collections.abc import Iterator, Set

import pyarrow as pa
from pyarrow import types


def dotted_names(schema: pa.Schema) -> tuple[str, ...]:
    """Return the names of all columns, then those of all fields within columns."""
    return (*schema.names, *(name for field in schema for name in _below(field, f"{field.name}.")))


def held_by(wanted: Set[str], schema: pa.Schema) -> list[str]:
    """Return the columns that must be read for `wanted`, in the order of the file."""
    heads = {name if name in schema.names else name.partition(".")[0] for name in wanted}
    return [name for name in schema.names if name in heads]


def pick(table: pa.Table, wanted: Set[str]) -> pa.Table:
    """Return the wanted columns and fields of a table, by their dotted names.

    Fields of a null row are null.
    """
    there = dotted_names(table.schema)
    return pa.table({name: _column(table, name) for name in dict.fromkeys(there) if name in wanted})


def _below(field: pa.Field, prefix: str) -> Iterator[str]:
    if types.is_struct(field.type):
        for inner in field.type:
            yield f"{prefix}{inner.name}"
            yield from _below(inner, f"{prefix}{inner.name}.")


def _column(table: pa.Table, name: str) -> pa.ChunkedArray:
    import pyarrow.compute as pc

    if name in table.column_names:
        return table.column(table.column_names.index(name))
    head, *parts = name.split(".")
    return pc.struct_field(table.column(table.column_names.index(head)), parts)
