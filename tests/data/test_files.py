from __future__ import annotations

import bz2
import gzip
import lzma
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sweep.config.schema import DatasetConfig
from sweep.data.delimited import _in_arrows_memory
from sweep.data.splits import Rows, load_splits

ODD = ['say "hi", please', "two\nlines", "007", "2024-01-01", "café ☕", "null", "NA", "tab\there"]


def train(path: Path, **config: Any) -> Rows:
    """Every stored row, in order: the single row cut off for validation is put back."""
    splits = load_splits(DatasetConfig(path=str(path), test_split=None, validation_ratio=0.01, **config))
    left, right = list(splits.train.inputs()), list(splits.validation.inputs())
    assert len(right) == 1
    return Rows(tuple(text for text, _ in left + right), None, splits.train.labels + splits.validation.labels)


def notes(path: Path, **config: Any) -> tuple[str, ...]:
    return load_splits(DatasetConfig(path=str(path), test_split=None, **config)).warnings


@pytest.mark.parametrize("ending", ["csv", "tsv", "txt", "jsonl", "json", "parquet"])
def test_every_format_keeps_texts_as_they_are(write, folder, ending):
    write(f"train.{ending}", [{"text": text, "label": f"l{i % 2}"} for i, text in enumerate(ODD)])
    assert sorted(train(folder).texts) == sorted(ODD)


def test_a_row_may_be_longer_than_an_arrow_block(write, folder):
    write("train.csv", [{"text": "x" * 3_000_000, "label": "a"}, {"text": "y", "label": "b"}])
    assert {len(text) for text in train(folder).texts} == {3_000_000, 1}


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_quote_that_is_never_closed_is_no_text(folder, only_fault, end):
    """Arrow would take all rows behind it for one text."""
    rows = [f"{'ab'[i % 2]},row {i}" for i in range(20)]
    (folder / "train.csv").write_text("\n".join(["label,text", *rows[:10], 'a,"an open one', *rows[10:]]) + end)
    message = only_fault(folder, test_split=None).message
    assert "train.csv cannot be read: a quote is opened in line 12 or behind it, and never closed" in message
    assert "dataset.quoting=false takes quotes for a part of the text" in message


@pytest.mark.parametrize("last", ['""', '""""', '"a ""quoted"" end"', '"\n"', '"x"y"', 'x"', 'say "hi"'])
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_file_may_end_with_any_quotes(folder, last, end):
    (folder / "train.csv").write_text(f"text,label,more\none,a,1\ntwo,b,{last}{end}")
    assert set(train(folder).texts) == {"one", "two"}


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
        ("train.csv", b"text,label\n\xff\xfe,b\n", "not UTF-8: byte 0xff in line 2 (byte 12 of the file)"),
        ("train.jsonl", b'{"text": "a", "label": "b"}\n{"text": \n', "line 2"),
        ("train.jsonl", b'{"text": "a", "label": "b"}\n[]\n', "line 2"),
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


def test_a_text_file_that_is_another_kind_is_refused_with_the_way_it_was_read(folder, only_fault):
    (folder / "train.csv").write_text("text,label\na,b\nc, d,e\n")
    taken = "it was taken for utf-8 with fields parted by ',' (dataset.delimiter)"
    assert taken in only_fault(folder, test_split=None).message


@pytest.mark.parametrize(
    ("name", "delimiter"), [("train.csv", ";"), ("train.csv", "\t"), ("train.csv", "|"), ("train.txt", ",")]
)
def test_another_delimiter_is_seen_by_the_header(folder, name, delimiter):
    header = f'"a{"," if delimiter == ";" else ""}"{delimiter}text{delimiter}label'
    (folder / name).write_text(f"{header}\nx{delimiter}one{delimiter}a\ny{delimiter}two{delimiter}b\n")
    assert set(train(folder).texts) == {"one", "two"}
    (note,) = [note for note in notes(folder) if "header" in note]
    assert note.startswith(name) and f"read with {delimiter!r}" in note


def test_a_header_with_the_usual_delimiter_decides(folder):
    (folder / "train.csv").write_text("a;b;c,label\nx,y\nz,w\n")
    assert set(train(folder, text_column="a;b;c").texts) == {"x", "z"}


def test_a_delimiter_that_was_given_is_not_doubted(folder, faults):
    (folder / "train.csv").write_text("text;label\na;b\n")
    assert {fault.path for fault in faults(folder, test_split=None, delimiter=",")} == {
        "dataset.text_column",
        "dataset.label_column",
    }


def test_two_columns_of_one_name(folder, only_fault):
    (folder / "train.csv").write_text("text,label,label\na,b,c\n")
    fault = only_fault(folder, test_split=None)
    assert fault.path == "dataset.path" and "more than one column of the name label" in fault.message


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("train.xlsx", "save the sheet as CSV"),
        ("train.zip", "unpack it"),
        ("train.tar.gz", "unpack it"),
        ("train.parquet.gz", "unpack it"),
        ("train.gz", "not named after what is inside"),
        ("train.pkl", "save them as Parquet"),
        ("train.what", "its ending is not known"),
    ],
)
def test_a_file_that_is_not_read_is_named_with_the_remedy(folder, only_fault, name, part):
    (folder / name).write_bytes(b"")
    whole = only_fault(folder, train_split=name, test_split=None).message
    assert part in whole and ".csv .tsv .txt" in whole and ".gz .bz2 .xz .zst" in whole
    listed = only_fault(folder, test_split=None).message
    assert f"it holds: nothing; not read: {name}" in listed
    assert part in listed or name == "train.what"


def compressed(codec: str, data: bytes) -> bytes:
    if codec == "zst":
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, "zstd") as file:
            file.write(data)
        return bytes(sink.getvalue())
    return {"gz": gzip, "bz2": bz2, "xz": lzma}[codec].compress(data)


@pytest.mark.parametrize("codec", ["gz", "bz2", "xz", "zst"])
@pytest.mark.parametrize("ending", ["csv", "tsv", "txt", "jsonl", "json"])
def test_compressed_files_are_read(write, folder, ending, codec):
    plain = write(f"train.{ending}", [{"text": text, "label": f"l{i % 2}"} for i, text in enumerate(ODD)])
    (folder / f"train.{ending}.{codec}").write_bytes(compressed(codec, plain.read_bytes()))
    plain.unlink()
    assert sorted(train(folder).texts) == sorted(ODD)
    assert len(train(folder / f"train.{ending}.{codec}")) == len(ODD)


@pytest.mark.parametrize("codec", ["gz", "bz2", "xz", "zst"])
def test_a_compressed_file_that_is_cut_off_is_named(folder, only_fault, codec):
    whole = compressed(codec, b"text,label\n" + b"".join(b"row %d,a\n" % (i * i) for i in range(3000)))
    for content in (whole[:-9], b"text,label\na,b\n"):
        (folder / f"train.csv.{codec}").write_bytes(content)
        fault = only_fault(folder, test_split=None)
        assert f"train.csv.{codec} cannot be read: it is no whole .{codec} file" in fault.message


def test_a_compressed_file_under_a_plain_name(folder, only_fault):
    (folder / "train.csv").write_bytes(gzip.compress(b"text,label\na,b\n"))
    assert "it holds a .gz file" in only_fault(folder, test_split=None).message


def test_endings_in_capitals(write, folder, rows_of):
    write("train.csv", rows_of(4)).rename(folder / "train.CSV")
    assert len(train(folder)) == 4


def test_a_nul_in_a_column_that_is_used_is_named_by_its_row(folder, only_fault):
    (folder / "train.csv").write_bytes(b"text,label,other\na,x,\0\nb \0,y,1\n")
    fault = only_fault(folder, test_split=None)
    assert "train.csv" in fault.message and "column text has a NUL character in row 2" in fault.message
    (folder / "train.csv").write_bytes(b"text,label,other\na,x,\0\nb,y,1\n")
    assert len(train(folder)) == 2


def test_json_lines_may_lack_a_field(folder):
    (folder / "train.jsonl").write_text('{"text": "a", "label": "x"}\n{"label": "y", "text": "b", "more": 1}\n')
    assert set(train(folder).texts) == {"a", "b"}


def test_arrow_is_given_a_copy_that_holds_no_python_object():
    """One of Arrow's threads may drop its input last, and aborts the process where that is a Python
    object and the interpreter ends at the same time."""
    data = b"text,label\n" * 20
    before = sys.getrefcount(data)
    copy = _in_arrows_memory(data)
    assert sys.getrefcount(data) == before and copy.to_pybytes() == data
    held = pa.py_buffer(data)
    assert sys.getrefcount(data) > before and held.size == copy.size
