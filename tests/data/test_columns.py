from __future__ import annotations

import datetime
import re
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from sweep.config.schema import DatasetConfig
from sweep.data.columns import missing_columns, read_columns
from sweep.data.raw import Raw
from sweep.data.splits import load_splits

TEXTS = ["one", "two", "three"]


def labels(values: list[Any] | pa.Array, *, typed: bool = True, **config: Any) -> Any:
    """The labels of a column, or the message of the only fault."""
    raw = Raw(pa.table({"text": TEXTS, "label": values}), ("text", "label"), typed)
    columns, faults = read_columns(DatasetConfig(**config), "train", raw)
    return faults[0].message if faults or columns is None else list(columns.labels)


def several(values: list[Any] | pa.Array, **config: Any) -> Any:
    return labels(values, task="multi_label", **config)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a", "b", "a"], ["a", "b", "a"]),
        ([0, 1, 10], ["0", "1", "10"]),
        ([True, False, True], ["True", "False", "True"]),
        (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
        (pa.array(["a", "b", "a"], pa.large_string()), ["a", "b", "a"]),
        ([Decimal(2**64), Decimal(7), Decimal(2**64)], [str(2**64), "7", str(2**64)]),
    ],
)
def test_single_labels_are_names_or_whole_numbers(values, expected):
    assert labels(values) == [(name,) for name in expected]


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ([0.5, 1.0, 0.0], "double, but labels must be names or whole numbers (0.5 in row 1)"),
        ([1.0, None, 0.0], "all of these are whole, so save them as integers"),
        ([1.0, float("nan"), 0.0], "nan in row 2"),
        ([datetime.date(2024, 1, 1)] * 3, "date32"),
        ([["a"], ["b"], ["a", "b"]], "set dataset.task=multi_label"),
        ([{"a": 1}] * 3, "struct"),
    ],
)
def test_other_kinds_of_label_column(values, part):
    assert part in labels(values) and "in train" in labels(values)


def test_text_that_spells_fractions_is_no_label():
    assert "with a fraction" in labels(["0", "0.25", "1e-3"], typed=False)
    assert labels(["v1.0", "v1.5", "v1.0"], typed=False) == [("v1.0",), ("v1.5",), ("v1.0",)]


def test_rows_without_a_label_are_counted():
    message = labels(["a", None, " "])
    assert "rows 2, 3 of train" in message and "dataset.unlabelled=drop" in message
    assert labels(["a", None, ""], unlabelled="drop") == [("a",), None, None]
    assert "rows 1, 2, 3" in labels(pa.nulls(3))


def test_lists_of_names():
    assert several([["a", "b"], [], ["b"]]) == [("a", "b"), (), ("b",)]
    assert several([[], [], []]) == [(), (), ()]
    assert "row 2" in several([["a"], None, ["b"]])
    assert "null" in several([["a"], [None], ["b"]])
    assert "a name is empty in rows 1, 3: a row to which no label applies has" in several(
        [[""], ["a", "b"], ["a", " "]]
    )


def test_lists_of_flags():
    assert several([[0, 1], [1, 1], [0, 0]]) == [("1",), ("0", "1"), ()]
    assert several([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]], label_names=("x", "y")) == [("y",), ("x", "y"), ()]
    assert several([[True, False]] * 3, label_names=("x", "y")) == [("x",)] * 3


@pytest.mark.parametrize("values", [[[0, 1], [1], [0, 0]], [[0, 2], [1, 1], [0, 0]], ["a", "b", "c"], [0, 1, 0]])
def test_other_kinds_of_multi_label_column(values):
    message = several(values)
    assert "a multi-label task needs" in message and "dataset.label_columns" in message


def test_names_in_a_text_cell():
    assert several(["a|b", "", " b "], label_separator="|") == [("a", "b"), (), ("b",)]
    assert several(["a, b", "a,,b", ","], label_separator=",") == [("a", "b"), ("a", "b"), ()]
    assert "row 2" in several(["a|b", None, "b"], label_separator="|")
    assert several(["a|b", None, "b"], label_separator="|", unlabelled="drop") == [("a", "b"), None, ("b",)]


def test_an_empty_cell_of_names_is_reported(folder, write):
    write("train.csv", [{"text": f"t {i}", "label": ["x", "x;y", ""][i % 3]} for i in range(9)])
    splits = load_splits(DatasetConfig(path=str(folder), task="multi_label", label_separator=";", test_split=None))
    assert splits.labels.names == ("x", "y")
    assert "3 of 9 rows of train have an empty label cell: no label applies" in splits.warnings


@pytest.mark.parametrize(
    ("values", "part"),
    [
        (["['a', 'b']", "['b']", "['a']"], "lists written out as"),
        ([["a"], ["b"], []], "set it to null"),
        ([1, 2, 3], "set it to null"),
    ],
)
def test_cells_that_a_separator_cannot_split(values, part):
    assert part in several(values, label_separator=",")


def test_as_many_names_as_flags():
    assert "2 flags" in several([[0, 1]] * 3, label_names=("x", "y", "z"))


def flags(typed: bool = True, **columns: list[Any]) -> Any:
    raw = Raw(pa.table({"text": TEXTS, **columns}), ("text", *columns), typed)
    read, faults = read_columns(DatasetConfig(task="multi_label", label_columns=tuple(columns)), "train", raw)
    return [str(fault) for fault in faults] if faults or read is None else (read.names, list(read.labels))


@pytest.mark.parametrize(
    "values", [[0, 1, 1], [False, True, True], [0.0, 1.0, 1.0], ["0", "1", "1"], ["False", "true", "1"]]
)
def test_a_column_of_flags_for_each_label(values):
    assert flags(joy=[1, 1, 0], fear=values) == (("joy", "fear"), [("joy",), ("joy", "fear"), ("fear",)])


def test_every_column_that_holds_no_flags_is_named():
    (message,) = flags(joy=["NONE"] * 3, fear=[0, 1, 2], love=[0, 1, 0])
    assert (
        message.startswith("dataset.label_columns")
        and "joy holds 'NONE'" in message
        and "fear holds 2 in row 3" in message
    )
    assert "love" not in message


def test_an_empty_flag_is_no_label():
    (message,) = flags(typed=False, joy=["1", "", "0"], fear=["1", "0", "0"])
    assert "row 2 of train" in message


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (pa.timestamp("s"), r"timestamp\[us\]"),
        (pa.timestamp("s", "Mars/Base"), r"timestamp\[us, tz=Mars/Base\]"),
        (pa.date32(), r"date32\[day\]"),
    ],
)
def test_times_that_python_cannot_hold(kind, said):
    late = pa.array([3_000_000 if pa.types.is_date(kind) else 2**38] * 3, kind)
    raw = Raw(pa.table({"text": TEXTS, "label": TEXTS, "at": late}), ("text", "label", "at"), True)
    _, (fault,) = read_columns(DatasetConfig(time_column="at"), "train", raw)
    assert fault.path == "dataset.time_column"
    assert re.search(f"is at, a column of {said} in train that cannot be read: time zones must be known", fault.message)


def test_text_columns_hold_text():
    raw = Raw(
        pa.table({"text": [1, 2, 3], "pair": ["a", " ", None], "label": TEXTS}),
        ("text", "pair", "label"),
        True,
    )
    _, faults = read_columns(DatasetConfig(text_pair_column="pair"), "test", raw)
    assert [fault.path for fault in faults] == ["dataset.text_column", "dataset.text_pair_column"]
    assert "int64" in faults[0].message and "rows 2, 3 of test" in faults[1].message


def test_a_missing_column_names_those_there(toy, only_fault):
    fault = only_fault(toy, text_column="txt")
    assert fault.path == "dataset.text_column"
    assert (
        "train and test" in fault.message and "did you mean text?" in fault.message and "text, label" in fault.message
    )


@pytest.mark.parametrize(("mark", "typed"), [(";", "'dataset.delimiter=\";\"'"), ("\t", "dataset.delimiter=tab")])
def test_fields_that_are_parted_otherwise_are_told(mark, typed):
    raw = Raw(pa.table({}), (f"id{mark}text{mark}label",), typed=False)
    faults = missing_columns(DatasetConfig(delimiter=","), {"train": raw})
    assert [fault.path for fault in faults] == ["dataset.text_column", "dataset.label_column"]
    assert all(fault.message.endswith(f"; its fields are parted otherwise: type {typed}") for fault in faults)


def test_the_first_of_several_names_is_taken(toy, only_fault):
    assert len(load_splits(DatasetConfig(path=str(toy), label_column=("category", "label"))).labels) == 2
    assert "category or intent" in only_fault(toy, label_column=("category", "intent")).message


@pytest.mark.parametrize("key", ["label_column", "text_pair_column"])
def test_one_column_has_one_use(toy, only_fault, key):
    assert only_fault(toy, **{key: "text"}).path == f"dataset.{key}"


def test_a_second_text_is_no_label(toy, only_fault):
    fault = only_fault(toy, text_pair_column="label")
    assert (fault.path, fault.message) == (
        "dataset.label_column",
        "is label, which is dataset.text_pair_column already",
    )


def test_a_column_of_flags_is_named_once(folder, write, only_fault):
    write("train.csv", [{"text": f"t {i}", "a": i % 2, "b": 1} for i in range(9)])
    fault = only_fault(folder, task="multi_label", label_columns=("a", "b", "a"), test_split=None)
    assert (fault.path, fault.message) == ("dataset.label_columns", "is a, which is dataset.label_columns already")
