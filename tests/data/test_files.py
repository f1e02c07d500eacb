from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sweep.config.schema import DatasetConfig
from sweep.data.splits import Rows, load_splits

ODD = ['say "hi", please', "two\nlines", "007", "2024-01-01", "café ☕", "null", "NA", "tab\there"]


def train(path: Path, **config: Any) -> Rows:
    """Every stored row, in order: the single row cut off for validation is put back."""
    splits = load_splits(DatasetConfig(path=str(path), test_split=None, validation_ratio=0.01, **config))
    left, right = list(splits.train.inputs()), list(splits.validation.inputs())
    assert len(right) == 1
    return Rows(tuple(text for text, _ in left + right), None, splits.train.labels + splits.validation.labels)


@pytest.mark.parametrize("ending", ["csv", "tsv", "txt", "jsonl", "json", "parquet"])
def test_every_format_keeps_texts_as_they_are(write, folder, ending):
    write(f"train.{ending}", [{"text": text, "label": f"l{i % 2}"} for i, text in enumerate(ODD)])
    assert sorted(train(folder).texts) == sorted(ODD)


def test_a_row_may_be_longer_than_an_arrow_block(write, folder):
    write("train.csv", [{"text": "x" * 3_000_000, "label": "a"}, {"text": "y", "label": "b"}])
    assert {len(text) for text in train(folder).texts} == {3_000_000, 1}


def test_quotes_are_characters_where_quoting_is_off(folder):
    (folder / "train.tsv").write_text('text\tlabel\n"open\ta\nin "the" middle\tb\n')
    assert set(train(folder, quoting=False).texts) == {'"open', 'in "the" middle'}


def test_a_delimiter_can_be_given(folder):
    (folder / "train.csv").write_text("text;label\na,b;x\nc;y\n")
    assert set(train(folder, delimiter=";").texts) == {"a,b", "c"}


def test_a_byte_order_mark_and_windows_line_ends(folder):
    (folder / "train.csv").write_bytes("\ufefftext,label\r\none,a\r\ntwo,b\r\n".encode())
    (folder / "other.jsonl").write_bytes(
        '\ufeff{"text": "one", "label": "a"}\r\n{"text": "two", "label": "b"}\r\n'.encode()
    )
    assert set(train(folder).texts) == set(train(folder, train_split="other").texts) == {"one", "two"}


def test_other_columns_may_hold_anything(folder):
    (folder / "train.csv").write_text("id,text,label,when\n1,one,a,2020\nx,two,b,\n")
    assert set(train(folder).texts) == {"one", "two"}


def test_a_split_may_be_a_whole_file_name(write, folder, rows_of):
    write("2018-E-c-En-train.txt", rows_of(4))
    assert (
        len(train(folder, train_split="2018-E-c-En-train.txt"))
        == len(train(folder, train_split="2018-E-c-En-train"))
        == 4
    )


def test_splits_can_be_joined(write, folder, rows_of):
    write("a.csv", [{"extra": "1", **row} for row in rows_of(4)])
    write("b.parquet", rows_of(3, start=4))
    assert sorted(train(folder, train_split="a+b").texts) == [f"text {i}" for i in range(7)]


def test_numbered_parts_are_one_split(write, folder, rows_of):
    write("train-00001-of-00002.parquet", rows_of(3, start=4))
    write("train-00000-of-00002.parquet", rows_of(4))
    assert sorted(train(folder).texts) == [f"text {i}" for i in range(7)]


def test_one_file_is_train(write, folder, rows_of):
    assert len(train(write("mine.csv", rows_of(5)))) == 5


def test_one_file_has_no_test_split(write, rows_of, only_fault):
    fault = only_fault(write("mine.csv", rows_of(5)))
    assert fault.path == "dataset.test_split" and "dataset.test_split=null" in fault.message


def test_a_file_that_is_not_there(toy, only_fault):
    fault = only_fault(toy, validation_split="valid")
    assert fault.path == "dataset.validation_split" and "test.csv, train.csv" in fault.message


def test_two_files_of_one_name(toy, write, rows_of, only_fault):
    write("train.jsonl", rows_of(3))
    fault = only_fault(toy)
    assert fault.path == "dataset.train_split" and "train.csv, train.jsonl" in fault.message


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("train.csv", b"text,label\na,b\nc,d,e\n", "Expected 2 columns, got 3"),
        ("train.csv", b"", "Empty CSV"),
        ("train.csv", b"text,label\n\xff\xfe,b\n", "UTF8"),
        ("train.jsonl", b'{"text": "a", "label": "b"}\n{"text": \n', "line 2"),
        ("train.jsonl", b'{"text": "a", "label": "b"}\n[]\n', "row 2"),
        (
            "train.jsonl",
            b'{"text": "a", "label": "b"}\n{"text": "a", "label": 1}\n',
            "column label mixes kinds",
        ),
        ("train.parquet", b"PAR1 it is not", "cannot be read"),
    ],
)
def test_a_broken_file_is_named(folder, only_fault, name, content, part):
    (folder / name).write_bytes(content)
    fault = only_fault(folder, test_split=None)
    assert fault.path == "dataset.train_split" and name in fault.message and part in fault.message


def test_a_text_file_that_is_another_kind_is_told_how_it_was_read(folder, only_fault):
    (folder / "train.csv").write_text("text;label\na;b\nc, d;e\n")
    taken = "it was taken for UTF-8 with fields parted by ',' (dataset.delimiter)"
    assert taken in only_fault(folder, test_split=None).message


def test_two_columns_of_one_name(folder, only_fault):
    (folder / "train.csv").write_text("text,label,label\na,b,c\n")
    fault = only_fault(folder, test_split=None)
    assert fault.path == "dataset.path" and "more than one column of the name label" in fault.message


def test_an_unknown_ending(folder, only_fault):
    (folder / "train.xlsx").write_bytes(b"")
    assert ".csv .tsv .txt" in only_fault(folder, train_split="train.xlsx", test_split=None).message


def test_json_lines_may_lack_a_field(folder):
    (folder / "train.jsonl").write_text('{"text": "a", "label": "x"}\n{"label": "y", "text": "b", "more": 1}\n')
    assert set(train(folder).texts) == {"a", "b"}
