"""The rows to label: a file, which is checked as a whole before a model is loaded, or the lines of
standard input."""

from __future__ import annotations

import codecs
import csv
import os
import select
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import types

from sweep.config.folders import expanded
from sweep.config.schema import DatasetConfig
from sweep.data.delimited import delimiter_within
from sweep.data.file_formats import DELIMITERS, KNOWN, kind_of, reason_unread
from sweep.data.json_rows import Row
from sweep.data.raw import listed
from sweep.data.stream import RowWindow, Stream, TextFormat, Window, open_stream
from sweep.data.text_encoding import MARK, undecodable
from sweep.errors import Fault, UserError, closest, first_line, shortened

TEXT = "text"  # the column of the lines of standard input
_CHUNK = 2**16  # bytes
_CHECKED = 1024  # rows of a window while a file is checked
_SHOWN = 100  # characters of a path

_FLAGS = {
    "dataset.encoding=": "--encoding ", "dataset.encoding": "--encoding", "dataset.delimiter": "--delimiter",
    "dataset.quoting=false": "--quoting off",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Checked:
    """A file that can be read to its end, with the number of its rows.

    `schema` has its columns, in order, and their types. The columns `mixed` hold values of more
    than one type.
    """

    stream: Stream
    count: int
    schema: pa.Schema
    mixed: tuple[str, ...] = ()


def growing(batch_size: int, most: int) -> Iterator[int]:
    """Yield the sizes of windows, in rows: small ones first, so that the first rows come early,
    then `most` batches, among which rows of like length are found."""
    batches = 4
    while True:
        yield batch_size * min(batches, most)
        batches *= 2


def opened(path: Path, form: TextFormat) -> Stream:
    """Return the stream of a file. Raises UserError where it cannot be read."""
    if not _exists(path):
        told = "; a text itself is read from standard input, by INPUT -" if " " in str(path) else ""
        raise UserError.of("INPUT", f"is {shortened(str(path), _SHOWN)}, but there is no such file{told}")
    kind = kind_of(path)
    if kind is None or not path.is_file():
        why = reason_unread(path) or ("its ending is not known" if path.is_file() else "it is no regular file")
        raise UserError.of("INPUT", f"is {path}, which is not read ({why}); known endings are {KNOWN}")
    try:
        return open_stream(path, kind, form)
    except (pa.ArrowException, csv.Error, ValueError, OSError) as error:
        raise _unread(path, error) from None


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a text that is too long for a path
        return False


def quoted(path: Path, study: DatasetConfig) -> bool:
    """Return whether the fields of a file are in double quotes where need be: as in the study for
    a file of the ending that its own files have, or where these are not at hand; else True."""
    if study.quoting:
        return True
    own, kind = expanded(study.path), kind_of(path)
    kinds = map(kind_of, own.iterdir() if own.is_dir() else [own])
    endings = {one.ending for one in kinds if one is not None}
    return kind is not None and bool(endings) and kind.ending not in endings


def windows(stream: Stream, sizes: Iterator[int]) -> Iterator[Window]:
    """Yield the windows of a stream. Raises UserError where the file cannot be read further."""
    found = stream.windows(sizes)
    while True:
        try:
            window = next(found)
        except StopIteration:
            return
        except (pa.ArrowException, csv.Error, ValueError, OSError) as error:
            raise _unread(stream.path, error) from None
        yield window


def checked(stream: Stream, texts: Sequence[tuple[str, str]]) -> Checked:
    """Read a file to its end, and return what is found.

    `texts` are the flags and names of its text columns. Raises UserError for a file that cannot be
    read, a column that is missing, and a value in it that is no text.
    """
    faults = list(_missing(stream, stream.columns, texts)) if stream.columns else []
    faults += _typed_faults(stream, texts)
    if faults:
        raise UserError(faults)
    found = _Found(dict.fromkeys(stream.columns, pa.string()))
    count, filled = 0, set[str]()
    for window in windows(stream, iter(lambda: _CHECKED, None)):
        count += len(window)
        for flag, name in texts:
            values = window.column(name)
            filled |= {name} if any(value is not None for value in values) else set()
            _refuse_others(flag, name, window, values)
        if not stream.columns:
            found.add(window.rows())
    schema = stream.schema or pa.schema(list(found.types.items()))
    absent = [] if stream.columns or not count else [one for one in texts if one[1] not in filled]
    if faults := list(_missing(stream, schema.names, absent)):
        raise UserError(faults)
    return Checked(stream, count, schema, tuple(found.mixed))


def lines(handle: int, encoding: str, sizes: Iterator[int]) -> Iterator[Window]:
    """Yield windows of the lines that come from an open file, as their column `text`.

    A window ends early where nothing more has come: a text that is typed is answered at once.
    Raises UserError for bytes that are not in the encoding.
    """
    decode = _decoder(encoding)
    first, held, rest, size, ended = 1, list[str](), "", next(sizes), False
    while not ended:
        chunk = os.read(handle, _CHUNK)
        ended = not chunk
        *whole, rest = (rest + decode(chunk, f"behind line {first + len(held) - 1}")).split("\n")
        held += [*whole, rest] if ended and rest else whole
        if held and first == 1:
            held[0] = held[0].removeprefix(MARK)
        while held and (len(held) >= size or ended or not _more(handle)):
            yield RowWindow(first, [{TEXT: line.removesuffix("\r")} for line in held[:size]])
            first, held, size = first + len(held[:size]), held[size:], next(sizes)


def _decoder(encoding: str) -> Callable[[bytes, str], str]:
    """Return a function that decodes chunks, of which the last one is empty. It raises UserError
    with the place of a chunk in words."""
    utf8 = codecs.lookup(encoding).name == "utf-8"
    decoder = codecs.getincrementaldecoder("utf-8-sig" if utf8 else encoding)()

    def decode(chunk: bytes, place: str) -> str:
        try:
            return decoder.decode(chunk, not chunk)
        except UnicodeDecodeError as error:
            message = undecodable(error.object, error.start, encoding, place)
            raise _unread(Path("standard input"), ValueError(message)) from None
        except UnicodeError as error:  # UTF-16 or UTF-32 without a byte order mark
            rule = f"{first_line(error)}; name the order of its bytes, as in --encoding {encoding}-le"
            raise _unread(Path("standard input"), ValueError(rule)) from None

    return decode


def _more(handle: int) -> bool:
    """Return whether reading gives something at once: bytes, or the end."""
    return bool(select.select([handle], [], [], 0)[0])


def _unread(path: Path, error: Exception) -> UserError:
    message = first_line(error)
    for key, flag in _FLAGS.items():
        message = message.replace(key, flag)
    return UserError.of(str(path), f"cannot be read: {message}")


def _missing(stream: Stream, there: Sequence[str], texts: Sequence[tuple[str, str]]) -> Iterator[Fault]:
    kind = kind_of(stream.path)
    for flag, name in texts:
        if name in there:
            continue
        rule = f"is {name}, but {stream.path} has no such column{closest(name, there)}; it has: {listed(there, 20)}"
        if parted := delimiter_within(there, [name]):
            yield Fault(flag, f"{rule}; its fields are parted otherwise: type --delimiter {shlex.quote(parted)}")
            continue
        bare = kind is not None and kind.ending in DELIMITERS and len(there) < 3
        hint = "; texts without a header are read from standard input, one a line: INPUT is then -" if bare else ""
        yield Fault(flag, f"{rule}; name the column with {flag} NAME{hint}")


def _typed_faults(stream: Stream, texts: Sequence[tuple[str, str]]) -> Iterator[Fault]:
    for flag, name in texts:
        if stream.schema is None or name not in stream.schema.names:
            continue
        kind = stream.schema.field(name).type
        kind = kind.value_type if types.is_dictionary(kind) else kind
        if not (
            types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind) or types.is_null(kind)
        ):
            yield Fault(flag, f"is {name}, a column of {kind}, but must be one of text")


def _refuse_others(flag: str, name: str, window: Window, values: Sequence[Any]) -> None:
    for number, value in enumerate(values, start=window.first):
        if value is not None and not isinstance(value, str):
            rule = f"is {name}, which holds {value!r:.40} in row {number} of the input, but must be a text"
            raise UserError.of(flag, rule)


@dataclass(slots=True)
class _Found:
    """The columns of JSON rows with their types, and those whose values have no one type."""

    types: dict[str, pa.DataType]
    mixed: dict[str, None] = field(default_factory=dict)

    def add(self, rows: Sequence[Row]) -> None:
        for name in dict.fromkeys(name for row in rows for name in row):
            try:
                kind = pa.array([row.get(name) for row in rows]).type
                both = [pa.schema([(name, one)]) for one in (self.types.get(name, pa.null()), kind)]
                self.types[name] = pa.unify_schemas(both, promote_options="permissive").field(0).type
            except (pa.ArrowException, OverflowError, UnicodeEncodeError):
                self.types.setdefault(name, pa.null())
                self.mixed[name] = None
