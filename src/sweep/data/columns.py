"""Columns of a stored split → texts and labels, with every fault in them named by config key, split and row."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import pyarrow as pa
from pyarrow import types

from sweep.config.schema import DatasetConfig
from sweep.data.raw import Raw, listed
from sweep.errors import Fault

LabelNames = tuple[str, ...]
FLAGS = {"0": 0, "1": 1, "false": 0, "true": 1, "False": 0, "True": 1}
FRACTION = re.compile(r"[+-]?(\d+\.\d*|\.\d+|\d+(\.\d*)?[eE][+-]?\d+)")


@dataclass(frozen=True, slots=True)
class Columns:
    """Rows of a split as they are stored. `labels` holds the names of each row's labels, one name for single-label,
    None where the row has no label. `names` are all the label names there can be, where the columns themselves say so."""

    texts: tuple[str, ...]
    pairs: tuple[str, ...] | None
    labels: tuple[LabelNames | None, ...]
    names: LabelNames | None = None

    def __len__(self) -> int:
        return len(self.texts)


def wanted(config: DatasetConfig) -> frozenset[str]:
    pair = () if config.text_pair_column is None else (config.text_pair_column,)
    return frozenset((config.text_column, *pair, *_label_columns(config)))


def missing_columns(config: DatasetConfig, splits: dict[str, Raw]) -> list[Fault]:
    """One fault a config key that names a column which some split lacks."""
    keys = [("dataset.text_column", (config.text_column,))]
    if config.text_pair_column is not None:
        keys.append(("dataset.text_pair_column", (config.text_pair_column,)))
    if config.label_columns:
        keys += [("dataset.label_columns", (name,)) for name in config.label_columns]
    else:
        keys.append(("dataset.label_column", _label_columns(config)))
    faults = []
    for key, names in keys:
        lacking = [split for split, raw in splits.items() if not set(names) & set(raw.columns)]
        if lacking:
            faults.append(Fault(key, _missing(names, lacking, splits[lacking[0]].columns)))
    return faults


def read_columns(config: DatasetConfig, split: str, raw: Raw, faults: list[Fault]) -> Columns | None:
    """None, and at least one fault more, where the columns do not hold what they should."""
    before = len(faults)
    texts = _texts("dataset.text_column", config.text_column, split, raw, faults)
    pair = config.text_pair_column
    pairs = None if pair is None else _texts("dataset.text_pair_column", pair, split, raw, faults)
    labels, names = _labels(config, split, raw, faults)
    if config.unlabelled == "refuse":
        _refuse_rows(
            "dataset.label_columns" if config.label_columns else "dataset.label_column",
            split,
            (row for row, label in enumerate(labels, start=1) if label is None),
            "no label; set dataset.unlabelled=drop to leave such rows out",
            faults,
        )
    if len(faults) > before:
        return None
    return Columns(tuple(texts), None if pairs is None else tuple(pairs), tuple(labels), names)


def _label_columns(config: DatasetConfig) -> tuple[str, ...]:
    if config.label_columns:
        return config.label_columns
    return (config.label_column,) if isinstance(config.label_column, str) else config.label_column


def _missing(names: Sequence[str], splits: list[str], there: Sequence[str]) -> str:
    match = next((found[0] for name in names if (found := get_close_matches(name, there, n=1))), None)
    guess = f" (did you mean {match}?)" if match else ""
    return f"names {' or '.join(names)}, which {', '.join(splits)} lacks{guess}; {splits[0]} has the columns {listed(list(there), 20)}"


def _column(name: str, raw: Raw) -> pa.ChunkedArray | None:
    if name not in raw.table.column_names:
        return None
    column = raw.table.column(raw.table.column_names.index(name))
    return column.cast(column.type.value_type) if types.is_dictionary(column.type) else column


def _texts(key: str, name: str, split: str, raw: Raw, faults: list[Fault]) -> list[str]:
    column = _column(name, raw)
    if column is None:
        return []
    if not (_is_text(column.type) or types.is_null(column.type)):
        faults.append(Fault(key, f"names {name}, which holds {column.type} in {split}, but must hold text"))
        return []
    values: list[str | None] = column.to_pylist()
    blank = (row for row, text in enumerate(values, start=1) if text is None or not text.strip())
    _refuse_rows(key, split, blank, "no text", faults)
    return [text or "" for text in values]


Labels = tuple[list[LabelNames | None], LabelNames | None]


def _labels(config: DatasetConfig, split: str, raw: Raw, faults: list[Fault]) -> Labels:
    if config.task == "multi_label" and config.label_columns:
        return _from_flag_columns(config.label_columns, split, raw, faults)
    name = next((name for name in _label_columns(config) if name in raw.columns), None)
    column = None if name is None else _column(name, raw)
    if column is None:
        return [], None
    if config.task == "single_label":
        problem = _single_label_problem(column, raw.typed)
        make: Callable[[], Labels] = lambda: (_single(column), None)
    else:
        problem = _multi_label_problem(column)
        make = lambda: _multi(config, column)
    if problem:
        faults.append(Fault("dataset.label_column", f"names {name}, which holds {problem} in {split}"))
        return [], None
    return make()
