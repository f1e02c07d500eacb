from __future__ import annotations

import json
from typing import Any

import pytest

from sweep.config.schema import DatasetConfig
from sweep.data.json_rows import read_json
from sweep.data.raw import Raw

GOOD = '{"text": "a", "label": "x"}'
WANTED = frozenset({"text", "label"})


def read(content: str, wanted: frozenset[str] = WANTED) -> Raw:
    return read_json(content.encode(), DatasetConfig(), wanted)


def label_of(*values: Any) -> Raw:
    return read("\n".join(json.dumps({"text": "a", "label": value}) for value in values))


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("9" * 5000, "a whole number of thousands of digits"),
        ("[" * 3000 + "]" * 3000, "nested too deeply"),
        ('{"a":' * 3000 + "1" + "}" * 3000, "nested too deeply"),
        ('"\0"', "not JSON (Invalid control character"),
        ("nope", "not JSON"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(value, part):
    bad = f'{{"text": "a", "other": {value}}}'
    with pytest.raises(ValueError, match="^line 2 ") as caught:
        read(f"{GOOD}\n{bad}\n")
    assert part in str(caught.value)
    with pytest.raises(ValueError, match="^row 2 ") as caught:
        read(f"[{GOOD}, {bad}]")
    assert part in str(caught.value)


@pytest.mark.parametrize(
    "content", ["[", f"[{GOOD}", f"[{GOOD},]", f"[{GOOD}] x", f"[{GOOD} {GOOD}]", "5", "[5]", '{"data":\n[]}']
)
def test_json_that_is_no_table_is_refused(content):
    with pytest.raises(ValueError, match="row|line"):
        read(content)


def test_an_array_may_be_spread_over_lines():
    assert read(f" [\n{GOOD}\n,\n {GOOD} ] \n").table.num_rows == 2
    assert read("[ ]").empty


@pytest.mark.parametrize("value", [2**63, 2**64, -(2**70), 10**75])
def test_whole_numbers_beyond_64_bits_are_whole_numbers(value):
    column = label_of(value, 1, None).table["label"]
    assert [None if cell is None else str(cell) for cell in column.to_pylist()] == [str(value), "1", None]


@pytest.mark.parametrize("value", [10**100, [2**64]])
def test_larger_ones_have_to_be_quoted(value):
    with pytest.raises(ValueError, match="column label holds .* in row 1, .* put it in quotes"):
        label_of(value)


def test_nan_is_no_value():
    assert label_of("a", float("nan")).table["label"].to_pylist() == ["a", None]


@pytest.mark.parametrize(
    ("values", "part"),
    [
        (["a", 1], "text in row 1, a whole number in row 2"),
        ([None, True, 1], "true or false in row 2, a whole number in row 3"),
        (["a", ["b"]], "text in row 1, a list in row 2"),
        ([1.5, "a"], "a number with a fraction in row 1, text in row 2"),
        ([["a"], [1]], "Could not convert"),
    ],
)
def test_kinds_that_are_mixed_are_named_with_their_rows(values, part):
    with pytest.raises(ValueError, match="column label mixes kinds of values") as caught:
        label_of(*values)
    assert part in str(caught.value)


@pytest.mark.parametrize("value", ['"\\ud800"', '["\\udfff"]'])
def test_half_a_character_is_named(value):
    with pytest.raises(ValueError, match="column label has half a character .* in row 2"):
        read(f'{{"label": null}}\n{{"label": {value}}}')


def test_half_a_character_in_the_name_of_a_field_can_be_printed():
    assert read(f'{GOOD}\n{{"\\ud800": 1}}').columns == ("text", "label", "\\ud800")


def test_nested_fields():
    rows = '{"a": {"b": {"text": "x"}, "c": 1}}\n{"a": {"b": null}}\n{"a": "no object"}\n{}'
    raw = read(rows, frozenset({"a.b.text", "a.nothing"}))
    assert raw.table.to_pydict() == {"a.b.text": ["x", None, None, None]}
    assert raw.columns == ("a", "a.b", "a.c", "a.b.text")


def test_a_field_with_a_dot_in_its_name_comes_first():
    raw = read('{"a.text": "whole", "a": {"text": "nested"}}', frozenset({"a.text"}))
    assert raw.table.to_pydict() == {"a.text": ["whole"]}
