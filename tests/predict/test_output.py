"""Files of labelled rows."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pytest

from sweep.data.stream import RowWindow, TableWindow
from sweep.errors import UserError
from sweep.predict.output import Shape, file_writer, out_faults, parquet_faults, stream_writer, unfinished

SHAPE = Shape(["text"], {"label": pa.string()})


def test_a_cell_with_any_line_break_is_in_quotes() -> None:
    """Other programs take a carriage return alone for the end of a row too."""
    texts, out = ["old\rMac", "Unix\ntext", "Windows\r\ntext", "plain\u2028text"], io.StringIO(newline="")
    stream_writer(out, SHAPE).write(RowWindow(1, [{"text": text} for text in texts]), [{"label": "a"}] * 4)
    written = out.getvalue()
    assert list(csv.reader(io.StringIO(written, newline=""))) == [["text", "label"], *([text, "a"] for text in texts)]
    assert written.startswith('text,label\n"old\rMac",a\n')


def test_json_lines_have_null_for_numbers_that_are_not_finite(tmp_path: Path) -> None:
    table = pa.table({"text": ["a"], "n": [float("nan")], "in": [{"x": [1.5, float("inf")]}]})
    with file_writer(tmp_path / "a.jsonl", Shape(table.column_names, SHAPE.added)) as writer:
        writer.write(TableWindow(1, table), [{"label": "b"}])
    found = json.loads((tmp_path / "a.jsonl").read_text(), parse_constant=lambda _: "no JSON")
    assert found == {"text": "a", "n": None, "in": {"x": [1.5, None]}, "label": "b"}


def test_columns_that_parquet_cannot_hold_are_named() -> None:
    empty = pa.struct([])
    schema = pa.schema([("text", pa.string()), ("meta", empty), ("n", pa.null()), ("more", pa.list_(empty))])
    (fault,) = parquet_faults(Path("out.parquet"), schema)
    assert fault.path == "--out" and fault.message.startswith("is Parquet, which cannot hold meta, more (")
    assert fault.message.endswith("write JSON lines, as in --out out.jsonl")
    assert not list(parquet_faults(Path("out.parquet"), pa.schema([("text", pa.string()), ("n", pa.null())])))


def test_two_writers_of_one_file_do_not_mix_their_rows(tmp_path: Path) -> None:
    out, row = tmp_path / "a.csv", RowWindow(1, [{"text": "a"}])
    with file_writer(out, SHAPE) as writer:
        with pytest.raises(UserError, match=r"another process writes its rows to .*a.unfinished.csv"):  # noqa: SIM117
            with file_writer(out, SHAPE):
                pass
        writer.write(row, [{"label": "b"}])
    assert out.read_text() == "text,label\na,b\n" and not unfinished(out).exists()
    with file_writer(out, SHAPE) as writer:  # the lock has gone with its file
        writer.write(row, [{"label": "c"}])
    assert out.read_text() == "text,label\na,c\n"


def test_a_folder_in_place_of_the_unfinished_file_is_a_fault(tmp_path: Path) -> None:
    unfinished(tmp_path / "a.csv").mkdir()
    (fault,) = out_faults(tmp_path / "a.csv", None)
    assert fault.path == "--out" and fault.message.endswith("until all are there, is a folder")
