"""A file of rows that is read from its start on, a window of rows at a time, so that it may be
larger than memory.

The formats are those of `sweep.data.files`. A JSON file that holds one array is read as a whole.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from sweep.data.delimited import cells, delimiter_of
from sweep.data.file_formats import DELIMITERS, JSON, Kind, open_bytes
from sweep.data.json_rows import Row, field_of, objects
from sweep.data.nested import dotted_names, pick
from sweep.data.text_encoding import MARK, encoding_of, undecodable

HEAVY = 2**24  # characters or bytes, beyond which a window takes no further row
_HEAD = 2**16  # bytes by which encoding and delimiter are found
_BATCH = 64  # rows of a Parquet file that are decoded at once


@dataclass(frozen=True, slots=True)
class TextFormat:
    """The encoding of text files, and the delimiter and quoting of delimited ones.

    `delimiter` is None where the file's own ending and header decide.
    """

    encoding: str = "utf-8"
    delimiter: str | None = None
    quoting: bool = True


class Window(Protocol):
    """Rows that follow each other in a file. `first` is the number of the first one, from 1."""

    @property
    def first(self) -> int: ...

    def __len__(self) -> int: ...

    def column(self, name: str) -> list[Any]:
        """Return the values of a column, or of a field by its dotted name; None where a row lacks
        it."""

    def rows(self) -> list[Row]:
        """Return the rows as mappings from column names to values."""


@dataclass(frozen=True, slots=True)
class RowWindow:
    """A window of a text file."""

    first: int
    held: list[Row]

    def __len__(self) -> int:
        return len(self.held)

    def column(self, name: str) -> list[Any]:
        return [row[name] if name in row else field_of(row, name) for row in self.held]

    def rows(self) -> list[Row]:
        return self.held


@dataclass(frozen=True, slots=True)
class TableWindow:
    """A window of a Parquet file, in the types of the file."""

    first: int
    table: pa.Table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def column(self, name: str) -> list[Any]:
        picked = pick(self.table, {name})
        return list(picked.column(0).to_pylist()) if picked.num_columns else [None] * len(self)

    def rows(self) -> list[Row]:
        """Return the rows; a time that Python cannot hold is the text that Arrow writes."""
        columns = [_values(self.table.column(name)) for name in self.table.column_names]
        return [dict(zip(self.table.column_names, row, strict=True)) for row in zip(*columns, strict=True)]


@dataclass(frozen=True, slots=True)
class Stream:
    """A file that can be read from its start, more than once.

    `columns` names its columns, with fields of Parquet structs by their dotted names; it is empty
    for JSON, whose columns are known when all rows were read. `schema` is that of a Parquet file.
    `windows(sizes)` reads the file; the n-th window has the n-th size, or fewer rows where they
    are heavy or the file ends. Reading raises ValueError, OSError or an error of Arrow.
    """

    path: Path
    columns: tuple[str, ...]
    windows: Callable[[Iterator[int]], Iterator[Window]]
    schema: pa.Schema | None = None


def open_stream(path: Path, kind: Kind, form: TextFormat) -> Stream:
    """Return the stream of a file. Raises ValueError, OSError or an error of Arrow."""
    if kind.ending in JSON:
        encoding = encoding_of(_head(path, kind), form.encoding)
        read = partial(_json, path, kind, encoding)
        return Stream(path, (), partial(_row_windows, read))
    if kind.ending in DELIMITERS:
        return _delimited(path, kind, form)
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        schema = file.schema_arrow
    _refuse_twice(schema.names)
    return Stream(path, dotted_names(schema), partial(_table_windows, path), schema)


def _head(path: Path, kind: Kind) -> bytes:
    with open_bytes(path, kind.codec) as file:
        return file.read(_HEAD)


def _lines(path: Path, kind: Kind, encoding: str, newline: str) -> Iterator[str]:
    """Yield the lines of a file with their ends, without a byte order mark. Raises ValueError that
    names the line of a byte that is not in the encoding."""
    count = 0
    with open_bytes(path, kind.codec) as file, io.TextIOWrapper(file, encoding=encoding, newline=newline) as text:
        try:
            for line in text:
                yield line if count else line.removeprefix(MARK)
                count += 1
        except UnicodeDecodeError as error:
            line_number = count + 1 + error.object.count(b"\n", 0, error.start)
            named = encoding.removesuffix("-sig").upper()
            raise ValueError(undecodable(error.object, error.start, named, f"in line {line_number}")) from None


def _json(path: Path, kind: Kind, encoding: str) -> Iterator[Row]:
    return objects(_lines(path, kind, encoding, "\n"), lambda: "".join(_lines(path, kind, encoding, "\n")))


def _delimited(path: Path, kind: Kind, form: TextFormat) -> Stream:
    head = _head(path, kind)
    encoding = encoding_of(head, form.encoding)
    decoded = head.decode(encoding, errors="replace")
    delimiter = form.delimiter or delimiter_of(decoded.encode(), DELIMITERS[kind.ending], quoting=form.quoting)
    lines = partial(_lines, path, kind, encoding, "")
    columns = tuple(next(cells(lines(), delimiter, quoting=form.quoting), (0, []))[1])
    if not columns:
        raise ValueError("it is empty: it lacks the names of its columns")
    _refuse_twice(columns)

    def rows() -> Iterator[Row]:
        found = cells(lines(), delimiter, quoting=form.quoting)
        next(found)
        for number, (line, row) in enumerate(found, start=1):
            if len(row) != len(columns):
                rule = f"row {number} (line {line}) has {len(row)} fields, but the header has {len(columns)}"
                raise ValueError(f"{rule}; it was taken for fields parted by {delimiter!r}")
            yield dict(zip(columns, row, strict=True))

    return Stream(path, columns, partial(_row_windows, rows))


def _refuse_twice(columns: Sequence[str]) -> None:
    if twice := [name for name in columns if columns.count(name) > 1]:
        raise ValueError(f"it has more than one column of the name {twice[0]!r}; rename one")


def _row_windows(read: Callable[[], Iterator[Row]], sizes: Iterator[int]) -> Iterator[Window]:
    first, held, weight, size = 1, list[Row](), 0, next(sizes)
    for row in read():
        held.append(row)
        weight += sum(len(cell) for cell in row.values() if isinstance(cell, str))
        if len(held) >= size or weight >= HEAVY:
            yield RowWindow(first, held)
            first, held, weight, size = first + len(held), [], 0, next(sizes)
    if held:
        yield RowWindow(first, held)


def _table_windows(path: Path, sizes: Iterator[int]) -> Iterator[Window]:
    from pyarrow import parquet

    first, held, size = 1, list[pa.RecordBatch](), next(sizes)
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_BATCH):
            held.append(batch)
            if _rows(held) >= size or sum(one.nbytes for one in held) >= HEAVY:
                yield TableWindow(first, pa.Table.from_batches(held))
                first, held, size = first + _rows(held), [], next(sizes)
    if held:
        yield TableWindow(first, pa.Table.from_batches(held))


def _values(column: pa.ChunkedArray) -> list[Any]:
    try:
        return list(column.to_pylist())
    except (pa.ArrowException, ValueError, OverflowError):  # a zone that is not known, a year beyond 9999
        return list(column.cast(pa.string()).to_pylist())


def _rows(batches: Sequence[pa.RecordBatch]) -> int:
    return sum(batch.num_rows for batch in batches)
