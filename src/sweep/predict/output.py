"""Files of labelled rows: CSV, TSV, JSON lines and Parquet, written a window at a time."""

from __future__ import annotations

import base64
import csv
import fcntl
import io
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol, TextIO, cast

import pyarrow as pa

from sweep.data.file_formats import DELIMITERS, JSON, KNOWN, OPENERS, PARQUET, Kind, kind_of
from sweep.data.labels import joined
from sweep.data.raw import listed
from sweep.data.stream import TableWindow, Window
from sweep.errors import Fault, UserError, first_line

Cells = Sequence[Mapping[str, Any]]  # the added columns of each row of a window

_ERRORS = "backslashreplace"  # a lone surrogate becomes its escape, which JSON knows


class Writer(Protocol):
    """Writes rows with their added columns, in order."""

    def write(self, window: Window, cells: Cells) -> None: ...


@dataclass(frozen=True, slots=True)
class Shape:
    """The columns of the input, in order, and the added ones with their types.

    `schema` has the types of the input's columns, for Parquet.
    """

    columns: Sequence[str]
    added: Mapping[str, pa.DataType]
    schema: pa.Schema | None = None


def out_faults(out: Path, given: Path | None) -> Iterator[Fault]:
    """Yield the faults of `--out`, for rows of the file `given`."""
    if kind_of(out) is None:
        yield Fault("--out", f"is {out}, whose ending names no format that is written; endings are {KNOWN}")
    elif out.is_dir() or not out.absolute().parent.is_dir():
        yield Fault(
            "--out", f"is {out}, but {'that' if out.is_dir() else out.parent} is {'a' if out.is_dir() else 'no'} folder"
        )
    elif given is not None and _same(out, given):
        yield Fault("--out", f"is {out}, which is INPUT itself; name another file")
    elif given is not None and _same(unfinished(out), given):
        rule = f"whose rows are kept in {unfinished(out)} until all are there, and that is INPUT"
        yield Fault("--out", f"is {out}, {rule}; name another file")
    elif unfinished(out).is_dir():
        yield Fault(
            "--out", f"is {out}, but {unfinished(out)}, in which rows are kept until all are there, is a folder"
        )
    elif not os.access(out if out.exists() else out.absolute().parent, os.W_OK):
        yield Fault("--out", f"is {out}, which cannot be written to")


def parquet_faults(out: Path, schema: pa.Schema, mixed: Sequence[str] = ()) -> Iterator[Fault]:
    """Yield the faults of the columns of the input that no Parquet file can hold: objects that are
    all empty, for example, and the columns `mixed`, which have values of more types."""
    from pyarrow import parquet

    way_out = f"write JSON lines, as in --out {out.with_suffix('.jsonl')}"
    refused = {}
    for column in schema:
        try:
            parquet.ParquetWriter(pa.BufferOutputStream(), pa.schema([column])).close()
        except pa.ArrowException as error:
            refused[column.name] = first_line(error)
    if refused:
        rule = f"is Parquet, which cannot hold {listed([*refused])} ({next(iter(refused.values()))})"
        yield Fault("--out", f"{rule}; {way_out}")
    if mixed:
        rule = f"is Parquet, whose columns have one type, but values of more types are in {listed(mixed)}"
        yield Fault("--out", f"{rule}; {way_out}")


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def unfinished(out: Path) -> Path:
    """Return the file that holds the rows until all are there: `rows.unfinished.csv` for
    `rows.csv`."""
    kind = kind_of(out)
    assert kind is not None, "the ending was checked"
    return out.with_name(f"{kind.stem}.unfinished{out.name.removeprefix(kind.stem)}")


@contextmanager
def file_writer(out: Path, shape: Shape) -> Iterator[Writer]:
    """Write to `unfinished(out)`, which becomes `out` at the end of the context.

    After an error it stays, with the rows that were written whole. Raises UserError where another
    process writes to it.
    """
    path, kind = unfinished(out), kind_of(out)
    assert kind is not None, "the ending was checked"
    with _held(path):
        with _parquet(path, shape) if kind.ending == PARQUET else _text(path, kind, shape) as writer:
            yield writer
        with path.open("rb") as file:
            os.fsync(file.fileno())
        path.replace(out)


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Keep other processes from writing to a file. A file system without locks keeps none out."""
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            rule = f"is not free: another process writes its rows to {path}; wait for it, or name another file"
            raise UserError.of("--out", rule) from None
        except OSError:
            pass
        yield


def stream_writer(stream: TextIO, shape: Shape) -> Writer:
    """Return a writer of CSV to an open stream, which is flushed after each window."""
    return _Delimited.of(stream, ",", shape)


@contextmanager
def _text(path: Path, kind: Kind, shape: Shape) -> Iterator[Writer]:
    with (
        _compressed(path, kind.codec) as binary,
        io.TextIOWrapper(binary, encoding="utf-8", errors=_ERRORS, newline="") as stream,
    ):
        yield _JsonLines(stream) if kind.ending in JSON else _Delimited.of(stream, DELIMITERS[kind.ending], shape)


@contextmanager
def _compressed(path: Path, codec: str) -> Iterator[IO[bytes]]:
    if codec == ".zst":
        with pa.output_stream(str(path), compression="zstd") as stream:
            yield cast(IO[bytes], stream)
    else:
        with OPENERS.get(codec, open)(path, "wb") as file:
            yield cast(IO[bytes], file)


@contextmanager
def _parquet(path: Path, shape: Shape) -> Iterator[Writer]:
    from pyarrow import parquet

    assert shape.schema is not None, "Parquet has types"
    schema = shape.schema
    for name, kind in shape.added.items():
        schema = schema.append(pa.field(name, kind))
    with parquet.ParquetWriter(path, schema) as file:
        yield _Parquet(file.write_table, schema, shape)


@dataclass(frozen=True, slots=True)
class _Delimited:
    """Lists of labels are joined as in `final/predictions.csv`; other nested values are JSON."""

    stream: TextIO
    row: Callable[[Sequence[Any]], Any]
    shape: Shape

    @classmethod
    def of(cls, stream: TextIO, delimiter: str, shape: Shape) -> _Delimited:
        found = cls(stream, csv.writer(_LineFeeds(stream), delimiter=delimiter).writerow, shape)
        found.row([*shape.columns, *shape.added])
        stream.flush()
        return found

    def write(self, window: Window, cells: Cells) -> None:
        for row, added in zip(window.rows(), cells, strict=True):
            self.row([*(_cell(row.get(name)) for name in self.shape.columns), *map(_added, added.values())])
        self.stream.flush()


@dataclass(frozen=True, slots=True)
class _LineFeeds:
    """Ends each row of `csv.writer` with a line feed alone. The writer itself ends rows with CR
    LF, since it puts a cell into quotes only for characters that end its rows."""

    stream: TextIO

    def write(self, row: str) -> None:
        self.stream.write(row.removesuffix("\r\n") + "\n")


@dataclass(frozen=True, slots=True)
class _JsonLines:
    stream: TextIO

    def write(self, window: Window, cells: Cells) -> None:
        for row, added in zip(window.rows(), cells, strict=True):
            shown = {name: float(_digits(one)) if isinstance(one, float) else one for name, one in added.items()}
            self.stream.write(json.dumps(_finite({**row, **shown}), ensure_ascii=False, default=_plain) + "\n")
        self.stream.flush()


@dataclass(frozen=True, slots=True)
class _Parquet:
    """`write_table` appends a table of `schema` to the file."""

    write_table: Callable[[pa.Table], None]
    schema: pa.Schema
    shape: Shape

    def write(self, window: Window, cells: Cells) -> None:
        given = self.schema.names[: len(self.schema) - len(self.shape.added)]
        own = pa.schema([self.schema.field(index) for index in range(len(given))])
        try:
            table = window.table if isinstance(window, TableWindow) else pa.Table.from_pylist(window.rows(), own)
        except pa.ArrowException as error:
            rule = f"a row from {window.first} on does not fit the types of the rows before it ({first_line(error)})"
            raise UserError.of("--out", f"is Parquet, but {rule}; write JSON lines") from None
        for name, kind in self.shape.added.items():
            table = table.append_column(name, pa.array([one[name] for one in cells], kind))
        self.write_table(table.cast(self.schema))


def _added(value: Any) -> Any:
    if isinstance(value, list):
        return joined(value)
    return _digits(value) if isinstance(value, float) else "" if value is None else value


def _digits(probability: float) -> str:
    return f"{probability:.7g}"


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool | list | dict):
        return json.dumps(value, ensure_ascii=False, default=_plain)
    return _plain(value) if isinstance(value, bytes) else value


def _finite(value: Any) -> Any:
    """Return a value with None in place of each number that is not finite: JSON has none."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {name: _finite(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_finite(inner) for inner in value]
    return value


def _plain(value: Any) -> str:
    """Return a value that JSON does not know as text: bytes in base64, others as Python writes
    them."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
