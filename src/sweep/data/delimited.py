"""CSV, TSV and other delimited text files, read by Arrow."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Collection, Iterator, Sequence, Set
from pathlib import Path

import pyarrow as pa

from sweep.config.schema import DatasetConfig
from sweep.data.file_formats import DELIMITERS, Kind, read_bytes
from sweep.data.raw import Raw, listed
from sweep.data.text_encoding import not_utf8, utf8
from sweep.errors import UserError, first_line

ONE_BLOCK = 2**31 - 1
_SNIFFED = ",;\t|"
QUOTING = "dataset.quoting=false takes quotes for a part of the text"
_QUOTED = re.compile(r'"(?:[^"]|"")*"')


def read_delimited(path: Path, kind: Kind, config: DatasetConfig, wanted: Set[str]) -> Raw:
    """Return the wanted columns of a file as text, since a guessed type would turn the label "01"
    into 1.

    Raises ValueError if the file cannot be read with this encoding and delimiter, or a quote is
    never closed, and UserError for repeated column names.
    """
    data = utf8(read_bytes(path, kind.codec), config.encoding)
    delimiter = config.delimiter or delimiter_of(data, DELIMITERS[kind.ending], quoting=config.quoting)
    try:
        table = _table(data, delimiter, config, wanted)
        columns = tuple(table.column_names)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        taken = f"it was taken for {config.encoding} with fields parted by {delimiter!r} (dataset.delimiter)"
        raise ValueError(not_utf8(data) or f"{first_line(error)}; {taken}") from None
    if config.quoting and _may_be_open(data, table):
        for _ in cells(io.StringIO(data.decode(errors="replace"), newline=""), delimiter, quoting=True):
            pass  # all rows are read for the error of a quote that is never closed
    if twice := [name for name in sorted(wanted) if columns.count(name) > 1]:
        raise UserError.of("dataset.path", f"{path} has more than one column of the name {listed(twice)}")
    table = table.select([index for index, name in enumerate(columns) if name in wanted])
    if b"\0" in data:
        _refuse_nul(table)
    return Raw(table, columns, typed=False, notes=_notes(path, kind, config, delimiter), form="CSV")


def _table(data: bytes, delimiter: str, config: DatasetConfig, wanted: Set[str]) -> pa.Table:
    from pyarrow import csv

    return csv.read_csv(
        pa.BufferReader(_in_arrows_memory(data)),
        # Arrow cannot read a row that is longer than a block.
        read_options=csv.ReadOptions(block_size=min(len(data) + 1, ONE_BLOCK)),
        parse_options=csv.ParseOptions(
            delimiter=delimiter,
            quote_char='"' if config.quoting else False,
            newlines_in_values=config.quoting,
        ),
        convert_options=csv.ConvertOptions(column_types={name: pa.string() for name in wanted}),
    )


def _in_arrows_memory(data: bytes) -> pa.Buffer:
    """Return a copy of the data in memory that Arrow owns.

    A thread of Arrow may drop its reference to the input after the reading returned. To drop one
    to a Python object it takes the interpreter's lock, and while the interpreter ends, that aborts
    the process ("terminate called without an active exception").
    """
    sink = pa.BufferOutputStream()
    sink.write(data)
    return sink.getvalue()


def _may_be_open(data: bytes, table: pa.Table) -> bool:
    """Return whether the last cell may be the rest of the file behind a quote that is never
    closed: Arrow takes it so, without an error."""
    last = table.column(table.num_columns - 1) if table.num_rows else pa.chunked_array([], pa.null())
    if not (pa.types.is_string(last.type) or pa.types.is_binary(last.type)):
        return False
    value = last[len(last) - 1].as_py() or b""
    written = (value.encode() if isinstance(value, str) else value).replace(b'"', b'""')
    return data.endswith(b'"' + written)


def delimiter_of(data: bytes, usual: str, *, quoting: bool) -> str:
    """Return `usual`, or if the header lacks it, the delimiter that the header has most often."""
    first = re.search(rb"[^\r\n]+", data)
    header = first.group().decode(errors="replace") if first else ""
    header = _QUOTED.sub("", header) if quoting else header
    if usual in header:
        return usual
    most = max(_SNIFFED, key=header.count)
    return most if most in header else usual


def delimiter_within(columns: Sequence[str], wanted: Collection[str]) -> str:
    """Return the delimiter, as it is typed, that parts a wanted name from others in a header that
    was read as one column; empty where there is none."""
    whole = columns[0] if len(columns) == 1 else ""
    found = (one for one in _SNIFFED if one in whole and {name.strip(' "') for name in whole.split(one)} & set(wanted))
    return next(("tab" if one == "\t" else one for one in found), "")


def cells(lines: Iterator[str], delimiter: str, *, quoting: bool) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the first line and the cells of each row. An empty line is a row where
    the header has one column, and none otherwise.

    Raises ValueError for a quote that is never closed.
    """
    csv.field_size_limit(sys.maxsize)  # a text may be longer than the 131,072 characters that csv takes by default
    ended = False

    def until_end() -> Iterator[str]:
        nonlocal ended
        yield from lines
        ended = True

    reader = csv.reader(until_end(), delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE)
    start, width = 1, 0
    for row in reader:
        if ended:  # the reader asked for another line in the middle of this row
            raise ValueError(f"a quote is opened in line {start} or behind it, and never closed; {QUOTING}")
        if row or width == 1:
            yield start, row or [""]
        width = width or len(row)
        start = reader.line_num + 1


def _notes(path: Path, kind: Kind, config: DatasetConfig, delimiter: str) -> tuple[str, ...]:
    usual = config.delimiter or DELIMITERS[kind.ending]
    if delimiter == usual:
        return ()
    return (
        f"{path.name} has no {usual!r} in its header, and is read with {delimiter!r} between its fields (dataset.delimiter)",
    )


def _refuse_nul(table: pa.Table) -> None:
    for name in table.column_names:
        for row, cell in enumerate(table[name].to_pylist(), start=1):
            if cell and "\0" in cell:
                raise ValueError(f"column {name} has a NUL character in row {row}; take it out of the file")
