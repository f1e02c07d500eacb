"""JSON files: one object a line, or one array of objects.

They are read by `json`, since Arrow's reader would turn a text that looks like a date into one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from decimal import Decimal
from itertools import chain, islice
from typing import Any

import pyarrow as pa

from sweep.config.schema import DatasetConfig
from sweep.data.raw import OF_TEXT, Raw
from sweep.data.text_encoding import not_utf8, utf8
from sweep.errors import first_line, shortened

Row = dict[str, Any]

_SPACE = re.compile(r"[ \t\n\r]*")
_KINDS = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number with a fraction",
    list: "a list",
    dict: "an object",
}
_LISTED_ROWS = 100  # in which nested fields are looked for
_LISTED_DEPTH = 4


def read_json(data: bytes, config: DatasetConfig, wanted: Set[str]) -> Raw:
    """Return the wanted columns. `a.b` is the field `b` of the object `a`, if no row has a column
    of that name. NaN is null.

    Raises ValueError that names the line or row that cannot be read.
    """
    data = utf8(data, config.encoding)
    if wrong := not_utf8(data):
        raise ValueError(wrong)
    rows = list(_objects(data.decode()))
    names = dict.fromkeys(name for row in rows for name in row)
    nested = {name for name in wanted if name not in names and any(_has(row, name) for row in rows)}
    arrays = {
        name: _array(name, [field_of(row, name) if name in nested else row.get(name) for row in rows])
        for name in (*names, *sorted(nested))
        if name in wanted
    }
    below = dict.fromkeys(name for row in rows[:_LISTED_ROWS] for name in _nested_names(row, "", _LISTED_DEPTH))
    columns = dict.fromkeys(map(_printable, (*names, *below, *sorted(nested))))
    unread = tuple(name for name in OF_TEXT if name != "encoding")
    return Raw(pa.table(arrays), tuple(columns), typed=True, form="JSON", unread=unread)


def _objects(text: str) -> Iterator[Row]:
    # Not splitlines: a JSON string may hold U+2028, which ends no line.
    return objects(text.split("\n"), lambda: text)


def objects(lines: Iterable[str], whole: Callable[[], str]) -> Iterator[Row]:
    """Yield the objects in the lines of a file, which are read one after the other.

    Only a file that holds an array is taken from `whole`. Raises ValueError that names the line or
    row that cannot be read.
    """
    for where, row in _parsed(lines, whole):
        if not isinstance(row, dict):
            raise ValueError(f"{where} is no JSON object")
        yield row


def _parsed(lines: Iterable[str], whole: Callable[[], str]) -> Iterator[tuple[str, Any]]:
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    first = next(numbered, None)
    if first is None:
        return iter(())
    return _in_array(whole()) if first[1].lstrip().startswith("[") else _in_lines(chain([first], numbered))


def _in_lines(numbered: Iterable[tuple[int, str]]) -> Iterator[tuple[str, Any]]:
    for number, line in numbered:
        yield f"line {number}", _one(f"line {number}", _DECODER.decode, line)


def _in_array(text: str) -> Iterator[tuple[str, Any]]:
    at = _skip(text, text.index("[") + 1)
    if text[at : at + 1] == "]":
        return
    number = 0
    while True:
        number += 1
        row, at = _one(f"row {number}", _DECODER.raw_decode, text, at)
        yield f"row {number}", row
        at = _skip(text, at)
        sign, at = text[at : at + 1], _skip(text, at + 1)
        if sign == "]" and at >= len(text):
            return
        if sign != ",":
            rule = "something follows the array" if sign == "]" else "a comma or the end of the array should follow"
            raise ValueError(f"row {number} is not followed by JSON ({rule})")


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _one(where: str, decode: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return decode(*arguments)
    except json.JSONDecodeError as error:
        way = "; a file holds one object a line, or one array of objects"
        raise ValueError(f"{where} is not JSON ({error.msg}){way if where.endswith(' 1') else ''}") from None
    except RecursionError:
        raise ValueError(f"{where} is nested too deeply") from None
    except ValueError:  # raised by `int`
        raise ValueError(f"{where} holds a whole number of thousands of digits") from None


def _constant(name: str) -> float | None:
    """Return None for NaN, which pandas writes for a missing value."""
    return None if name == "NaN" else float(name)


_DECODER = json.JSONDecoder(parse_constant=_constant)


def _printable(name: str) -> str:
    """Return a name with lone surrogates escaped: JSON allows them, and terminals do not."""
    return name.encode(errors="backslashreplace").decode()


def _has(row: Row, name: str) -> bool:
    head, _, last = name.rpartition(".")
    inner = field_of(row, head)
    return isinstance(inner, dict) and last in inner


def field_of(row: Row, name: str) -> Any:
    """Return the field of a row by its dotted name; None where the row has none."""
    found: Any = row
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _nested_names(row: Row, prefix: str, depth: int) -> Iterator[str]:
    for name, value in islice(row.items(), _LISTED_ROWS):
        if isinstance(value, dict) and depth:
            yield from (f"{prefix}{name}.{inner}" for inner in islice(value, _LISTED_ROWS))
            yield from _nested_names(value, f"{prefix}{name}.", depth - 1)


def _array(name: str, values: Sequence[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except OverflowError:
        return _large(name, values)
    except UnicodeEncodeError:
        row = next(row for row, value in enumerate(values, start=1) if _half_character(value))
        raise ValueError(
            f"column {name} has half a character (a lone surrogate, \\ud800 to \\udfff) in row {row}"
        ) from None
    except (pa.ArrowException, RecursionError) as error:
        raise ValueError(f"column {name} mixes kinds of values: {_mixed(values) or first_line(error)}") from None


def _large(name: str, values: Sequence[Any]) -> pa.Array:
    """Return whole numbers beyond 64 bits as decimals. Raises ValueError for larger numbers."""
    try:
        if all(value is None or type(value) is int for value in values):
            return pa.array([None if value is None else Decimal(value) for value in values])
    except pa.ArrowException:
        pass
    row, value = max(enumerate(values, start=1), key=lambda pair: len(repr(pair[1])))
    raise ValueError(
        f"column {name} holds {shortened(repr(value), 40)} in row {row}, which is too large a number; put it in quotes"
    )


def _half_character(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _mixed(values: Sequence[Any]) -> str:
    """Return the first row of each kind of value; empty if all values are of one kind."""
    first: dict[str, int] = {}
    for row, value in enumerate(values, start=1):
        if value is not None:
            first.setdefault(_KINDS[type(value)], row)
    return ", ".join(f"{kind} in row {row}" for kind, row in first.items()) if len(first) > 1 else ""
