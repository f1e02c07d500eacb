"""The texts and label names in the columns of a stored split.

Faults name the config key, the split and the rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import types

from sweep.config.quoting import typed
from sweep.config.schema import DatasetConfig
from sweep.data.delimited import delimiter_within
from sweep.data.raw import Raw, listed
from sweep.data.times import Moment, NotATimeError, moments
from sweep.errors import Fault, closest, shortened

Names = tuple[str, ...]

MULTI_LABEL = (
    "lists of label names, lists of a 0 or 1 for each label, dataset.label_columns (a 0/1 column each), or text cells "
    "such as joy|fear with dataset.label_separator"
)
FLAGS = {"0": 0, "1": 1, "false": 0, "true": 1, "False": 0, "True": 1}
WHOLE = re.compile(r"[+-]?\d+")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True, slots=True)
class Columns:
    """The rows of a split as they are stored.

    `labels` holds the names of each row's labels (one for single-label), and None for a row
    without a label; an empty tuple is a multi-label row to which no label applies. `names` are all
    labels in order, if the columns themselves define them. `blank` are the indices of rows without
    a text; `notes` are notes for the user on how the columns were read. `groups` and `times` are
    those of each row; empty where the config names no such column, or the split has none.
    """

    texts: Names
    pairs: Names | None
    labels: tuple[Names | None, ...]
    names: Names | None = None
    blank: frozenset[int] = frozenset()
    notes: Names = ()
    groups: Names = ()
    times: tuple[Moment, ...] = ()


class WrongKind(Exception):
    """A label column whose values are no labels of the task."""


def wanted(config: DatasetConfig) -> frozenset[str]:
    """Return the names of the columns that the config uses."""
    return frozenset((*text_columns(config), *_label_columns(config), *dividing_columns(config).values()))


def dividing_columns(config: DatasetConfig) -> dict[str, str]:
    """Return the names of the columns by which rows are divided, by config key."""
    named = {"dataset.group_column": config.group_column, "dataset.time_column": config.time_column}
    return {key: name for key, name in named.items() if name is not None}


def text_columns(config: DatasetConfig) -> Names:
    """Return the names of the columns of the texts: one, or two for pairs."""
    return (config.text_column,) if config.text_pair_column is None else (config.text_column, config.text_pair_column)


def clashing_columns(config: DatasetConfig) -> list[Fault]:
    """Return a fault for each column that two keys name."""
    uses: list[tuple[str, Names]] = [("dataset.text_column", (config.text_column,))]
    if config.text_pair_column is not None:
        uses.append(("dataset.text_pair_column", (config.text_pair_column,)))
    uses += [(key, (name,)) for key, name in dividing_columns(config).items()]
    uses.append(("dataset.label_columns" if config.label_columns else "dataset.label_column", _label_columns(config)))
    faults, seen = [], dict[str, str]()
    for key, names in uses:
        for name in names:
            if key == "dataset.label_column" and seen.get(name) == key:
                continue  # the first existing one of several names is used, so that a repeated name is harmless
            if name in seen:
                faults.append(Fault(key, f"is {name}, which is {seen[name]} already"))
            seen.setdefault(name, key)
    return faults


def missing_columns(config: DatasetConfig, splits: Mapping[str, Raw]) -> list[Fault]:
    """Return a fault for each column that a split lacks."""
    needed: list[tuple[str, Names]] = [("dataset.text_column", (config.text_column,))]
    if config.text_pair_column is not None:
        needed.append(("dataset.text_pair_column", (config.text_pair_column,)))
    if config.label_columns:
        needed += [("dataset.label_columns", (name,)) for name in config.label_columns]
    else:
        needed.append(("dataset.label_column", _label_columns(config)))
    faults = []
    for key, names in needed:
        lacking = [split for split, raw in splits.items() if not set(names) & set(raw.columns)]
        if lacking:
            faults.append(Fault(key, _missing(names, lacking, splits[lacking[0]].columns)))
    return faults


def missing_dividing_columns(config: DatasetConfig, split: str, raw: Raw) -> list[Fault]:
    """Return a fault for each column that a split which is cut lacks; splits that are not cut may
    lack it."""
    return [
        Fault(key, _missing((name,), [split], raw.columns))
        for key, name in dividing_columns(config).items()
        if name not in raw.columns
    ]


def read_columns(config: DatasetConfig, split: str, raw: Raw) -> tuple[Columns | None, list[Fault]]:
    """Return the rows of a split and their faults; None for the rows if the labels cannot be read.

    Values of a missing column are empty, without a fault. A multi-label row has no label if its
    list is null, or if one of its 0/1 cells is empty.
    """
    texts, blank, faults = _texts(config, raw, "dataset.text_column", config.text_column, split)
    pairs = None
    if config.text_pair_column is not None:
        pairs, more_blank, more = _texts(config, raw, "dataset.text_pair_column", config.text_pair_column, split)
        blank |= more_blank
        faults += more
    key = "dataset.label_columns" if config.label_columns else "dataset.label_column"
    try:
        labels, names = _flag_columns(config, raw) if config.label_columns else _label_column(config, raw)
    except WrongKind as wrong:
        return None, [*faults, Fault(key, f"{wrong} (in {split})")]
    unlabelled = [row for row, label in enumerate(labels, start=1) if label is None]
    if unlabelled and config.unlabelled == "refuse":
        rule = f"finds no label in {_rows(unlabelled)} of {split}"
        faults.append(Fault(key, f"{rule}; dataset.unlabelled=drop leaves such rows out"))
    notes = _empty_cells(labels, split) if config.label_separator is not None else ()
    groups, more = _groups(config, raw, split)
    times, wrong_times = _times(config, raw, split)
    faults += [*more, *wrong_times]
    return Columns(texts, pairs, tuple(labels), names, blank, notes, groups, times), faults


def _label_columns(config: DatasetConfig) -> Names:
    named = config.label_columns or config.label_column
    return (named,) if isinstance(named, str) else named


def _missing(names: Names, lacking: Sequence[str], there: Names) -> str:
    guess = next((found for name in names if (found := closest(name, there))), "")
    parted = delimiter_within(there, names)
    other = f"; its fields are parted otherwise: type {typed('dataset.delimiter', parted)}" if parted else ""
    where = f"{' and '.join(lacking)}{guess}; {lacking[0]} has: {listed(there, 20)}"
    return f"is {' or '.join(names)}, but there is no such column in {where}{other}"


def _rows(rows: Sequence[int], most: int = 5) -> str:
    """Return the numbers of rows in words. Rows are counted from 1, without a header."""
    what = "row" if len(rows) == 1 else "rows"
    return f"{what} {listed([str(row) for row in rows], most)}"


def _column(raw: Raw, names: Names) -> tuple[str, pa.ChunkedArray | None]:
    """Return the first of `names` that the split has, and its column; of two columns with one
    name, the first."""
    for name in names:
        if name in raw.table.column_names:
            column = raw.table.column(raw.table.column_names.index(name))
            return name, column.cast(column.type.value_type) if types.is_dictionary(column.type) else column
    return names[0], None


def _texts(
    config: DatasetConfig, raw: Raw, key: str, name: str, split: str
) -> tuple[Names, frozenset[int], list[Fault]]:
    """Return the texts of a column, the indices of blank texts, and the faults."""
    _, column = _column(raw, (name,))
    if column is None:
        return (), frozenset(), []
    if not (_is_text(column.type) or types.is_null(column.type)):
        rule = f"is {name}, a column of {_kind(column.type)} in {split}, but must be one of text"
        return (), frozenset(), [Fault(key, rule)]
    texts: list[str | None] = column.to_pylist()
    blank = [index for index, text in enumerate(texts) if text is None or not text.strip()]
    faults = []
    if blank and config.blank == "refuse":
        rule = f"is {name}, which holds no text in {_rows([index + 1 for index in blank])} of {split}"
        faults.append(Fault(key, f"{rule}; dataset.blank=drop leaves such rows out"))
    return tuple(text or "" for text in texts), frozenset(blank), faults


def _groups(config: DatasetConfig, raw: Raw, split: str) -> tuple[Names, list[Fault]]:
    name = config.group_column
    _, column = _column(raw, (name,)) if name is not None else ("", None)
    if column is None:
        return (), []
    kind = column.type
    if not (_is_text(kind) or _is_whole(kind) or types.is_boolean(kind) or types.is_null(kind)):
        rule = f"is {name}, a column of {_kind(kind)} in {split}, but groups must be names or whole numbers"
        return (), [Fault("dataset.group_column", rule)]
    values = [None if value is None or not str(value).strip() else str(value) for value in column.to_pylist()]
    if missing := [row for row, value in enumerate(values, start=1) if value is None]:
        rule = f"is {name}, which holds no group in {_rows(missing)} of {split}"
        return (), [Fault("dataset.group_column", f"{rule}; give each row without a group one of its own")]
    return tuple(value or "" for value in values), []


def _times(config: DatasetConfig, raw: Raw, split: str) -> tuple[tuple[Moment, ...], list[Fault]]:
    name = config.time_column
    _, column = _column(raw, (name,)) if name is not None else ("", None)
    if column is None:
        return (), []
    try:
        if types.is_timestamp(column.type):  # nanoseconds would need pandas
            column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
        return moments(column.to_pylist()), []
    except NotATimeError as wrong:
        rule = f"is {name}, which holds {wrong} in row {wrong.index + 1} of {split}"
    except (pa.ArrowException, ValueError, OverflowError):  # a zone that is not known, a year beyond 9999
        known = "time zones must be known here, and years from 1 to 9999; numbers or texts of ISO 8601 can hold others"
        rule = f"is {name}, a column of {_kind(column.type)} in {split} that cannot be read: {known}"
    return (), [Fault("dataset.time_column", rule)]


def _label_column(config: DatasetConfig, raw: Raw) -> tuple[list[Names | None], Names | None]:
    name, column = _column(raw, _label_columns(config))
    if column is None:
        return [], None
    try:
        if config.task == "single_label":
            return [None if label is None else (label,) for label in _single(column, raw.typed)], None
        if config.label_separator is not None:
            return _separated(column, config.label_separator), None
        return _several(column, config.label_names)
    except WrongKind as wrong:
        raise WrongKind(f"is {name}, a column of {wrong}") from None


def _single(column: pa.ChunkedArray, typed: bool) -> list[str | None]:
    kind = column.type
    if _is_list(kind):
        raise WrongKind("lists, but a single-label task has one label a row; for several, set dataset.task=multi_label")
    values = column.to_pylist()
    if types.is_floating(kind):
        raise WrongKind(f"{kind}, but labels must be names or whole numbers{_example(values)}")
    if not (_is_text(kind) or _is_whole(kind) or types.is_boolean(kind) or types.is_null(kind)):
        raise WrongKind(f"{_kind(kind)}, but labels must be names or whole numbers")
    labels = [None if value is None or not str(value).strip() else str(value) for value in values]
    found = {label for label in labels if label is not None}
    if not typed and found and all(map(NUMBER.fullmatch, found)) and not all(map(WHOLE.fullmatch, found)):
        raise WrongKind(f"numbers with a fraction ({min(found)}), but labels must be names or whole numbers")
    return labels


def _example(values: Sequence[float | None]) -> str:
    """Return the first number that is not whole; if there is none, how to store whole numbers."""
    row, value = next(
        ((row, value) for row, value in enumerate(values, start=1) if value is not None and not value.is_integer()),
        (0, None),
    )
    return "; all of these are whole, so save them as integers" if value is None else f" ({value} in row {row})"


def _separated(column: pa.ChunkedArray, separator: str) -> list[Names | None]:
    """Return the label names in text cells, which a separator divides.

    No label applies to a row with an empty cell.
    """
    kind = column.type
    if not (_is_text(kind) or types.is_null(kind)):
        raise WrongKind(f"{_kind(kind)}, but dataset.label_separator parts the names in text cells; set it to null")
    cells: list[str | None] = column.to_pylist()
    written = [cell.strip() for cell in cells if cell and cell.strip()]
    if written and all(cell.startswith("[") and cell.endswith("]") for cell in written):
        rule = f"lists written out as {shortened(written[0], 60)!r}, but dataset.label_separator wants names alone"
        raise WrongKind(f"{rule}, such as joy{separator}fear; JSON lines and Parquet hold lists as they are")
    return [
        None if cell is None else tuple(name for part in cell.split(separator) if (name := part.strip()))
        for cell in cells
    ]


def _empty_cells(labels: Sequence[Names | None], split: str) -> Names:
    empty = sum(label == () for label in labels)
    return (f"{empty} of {len(labels)} rows of {split} have an empty label cell: no label applies",) if empty else ()


def _several(column: pa.ChunkedArray, label_names: Names | None) -> tuple[list[Names | None], Names | None]:
    """Return the labels in a column of lists: of label names, or of a 0 or 1 for each label in
    order."""
    kind = column.type
    if types.is_null(kind):
        return [None] * len(column), None
    if not _is_list(kind):
        raise WrongKind(f"{_kind(kind)}, but a multi-label task needs {MULTI_LABEL}")
    rows: list[list[Any] | None] = column.to_pylist()
    if _is_text(kind.value_type) or types.is_null(kind.value_type):
        if any(row is not None and None in row for row in rows):
            raise WrongKind("lists of names, but some of the names are null")
        blank = [at for at, row in enumerate(rows, start=1) if not all(name.strip() for name in row or ())]
        if blank:
            rule = f"lists of names, but a name is empty in {_rows(blank)}"
            raise WrongKind(f"{rule}: a row to which no label applies has an empty list, []")
        return [None if row is None else tuple(row) for row in rows], None
    widths = {len(row) for row in rows if row is not None}
    if len(widths) > 1 or any(_flag(value) is None for row in rows if row is not None for value in row):
        raise WrongKind(f"lists of {_kind(kind.value_type)}, but a multi-label task needs {MULTI_LABEL}")
    width = next(iter(widths), 0)
    names = label_names or tuple(map(str, range(width)))
    if len(names) != width:
        raise WrongKind(f"lists of {width} flags, but dataset.label_names has {len(names)} names")
    return [None if row is None else _flagged(names, row) for row in rows], names


def _flag_columns(config: DatasetConfig, raw: Raw) -> tuple[list[Names | None], Names | None]:
    names = config.label_columns
    columns, wrong = [], []
    for name in names:
        _, column = _column(raw, (name,))
        if column is None:
            continue
        values = [value if value != "" else None for value in column.to_pylist()]
        columns.append(values)
        bad = [row for row, value in enumerate(values, start=1) if value is not None and _flag(value) is None]
        if bad:
            wrong.append(f"{name} holds {values[bad[0] - 1]!r} in {_rows(bad, 1)}")
    if wrong:
        raise WrongKind(f"must name columns of 0 and 1, but {listed(wrong, 3)}")
    if len(columns) < len(names):
        return [], None
    return [None if None in row else _flagged(names, row) for row in zip(*columns, strict=True)], names


def _flagged(names: Names, row: Iterable[Any]) -> Names:
    return tuple(name for name, value in zip(names, row, strict=True) if _flag(value))


def _flag(value: Any) -> int | None:
    if isinstance(value, str):
        return FLAGS.get(value)
    return int(value) if isinstance(value, int | float) and value in (0, 1) else None


def _kind(kind: pa.DataType) -> str:
    """Return the name of a type, which is cut for nested types."""
    return shortened(str(kind), 60)


def _is_whole(kind: pa.DataType) -> bool:
    return bool(types.is_integer(kind) or (types.is_decimal(kind) and kind.scale == 0))


def _is_text(kind: pa.DataType) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))
