"""Files of rows that are read a window at a time."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from sweep.data.file_formats import kind_of
from sweep.data.stream import RowWindow, Stream, TextFormat, Window, open_stream

ROWS = [{"text": f"row {number}, with a comma", "note": 'a "quote"\nand a break'} for number in range(1, 6)]
CSV = "text,note\n" + "".join(f'"row {number}, with a comma","a ""quote""\nand a break"\n' for number in range(1, 6))


def stream(path: Path, data: bytes | str = b"", **form: object) -> Stream:
    if data:
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    kind = kind_of(path)
    assert kind is not None
    return open_stream(path, kind, TextFormat(**form))  # type: ignore[arg-type]


def read(found: Stream, size: int = 2) -> list[Window]:
    return list(found.windows(repeat(size)))


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as file:
        file.write(data)
    return bytes(sink.getvalue())


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("a.csv", bytes),
        ("a.csv.gz", gzip.compress),
        ("a.csv.bz2", bz2.compress),
        ("a.csv.xz", lzma.compress),
        ("a.csv.zst", zstd),
    ],
)
def test_windows_of_a_delimited_file(tmp_path: Path, name: str, pack: Callable[[bytes], bytes]) -> None:
    found = stream(tmp_path / name, pack(CSV.encode()))
    windows = read(found)
    assert found.columns == ("text", "note")
    assert [(window.first, len(window)) for window in windows] == [(1, 2), (3, 2), (5, 1)]
    assert [row for window in windows for row in window.rows()] == ROWS
    assert windows[1].column("text") == ["row 3, with a comma", "row 4, with a comma"]
    assert len(read(found)) == 3  # it can be read again


def test_json_lines_and_an_array_have_nested_fields(tmp_path: Path) -> None:
    rows = [{"meta": {"text": "a"}}, {"meta.text": "b"}, {}]
    for name, text in (("a.jsonl", "\n\n".join(map(json.dumps, rows))), ("a.json", f"\n{json.dumps(rows)}")):
        (window,) = read(stream(tmp_path / name, text), 9)
        assert (window.rows(), window.column("meta.text")) == (rows, ["a", "b", None])


def test_a_parquet_file_keeps_its_types(tmp_path: Path) -> None:
    moment = pa.array([1, None, 3] * 50, pa.timestamp("ns"))
    texts = pa.array(["a", "b", None] * 50).dictionary_encode()
    parquet.write_table(pa.table({"text": texts, "at": moment, "in": [{"x": "y"}] * 150}), tmp_path / "a.parquet")
    found = stream(tmp_path / "a.parquet")
    windows = read(found, 100)
    assert [(window.first, len(window)) for window in windows] == [(1, 128), (129, 22)]  # whole batches of 64
    assert found.columns == ("text", "at", "in", "in.x") and windows[1].column("in.x") == ["y"] * 22
    assert windows[0].column("text")[:3] == ["a", "b", None]


def test_a_time_that_python_cannot_hold_is_a_text(tmp_path: Path) -> None:
    columns = {"text": ["a", "b"], "at": pa.array([2**38, None], pa.timestamp("s")), "n": [1, 2]}
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    (window,) = read(stream(tmp_path / "a.parquet"))
    assert window.rows()[1] == {"text": "b", "at": None, "n": 2}
    assert window.rows()[0]["at"].startswith("10680-")


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.csv", "text,b\n1,2\n\n3\n", r"row 2 \(line 4\) has 1 fields, but the header has 2"),
        ("a.csv", 'text,b\n1,2\n"open,3\nx,y\n', "a quote is opened in line 3 or behind it, and never closed"),
        ("a.csv", b"text\na\ncaf\xe9\n", "not UTF-8: byte 0xe9 in line 3; .* dataset.encoding=cp1252 reads 'café'"),
        ("a.csv", "text,text\n1,2\n", "more than one column of the name 'text'"),
        ("a.csv", b"\n", "it is empty"),
        ("a.csv", b"PAR1....", "it holds a .parquet file, whatever its name says"),
        ("a.csv.gz", gzip.compress(CSV.encode() * 99)[:-20], "it is no whole .gz file"),
        ("a.csv.zst", b"text\n", "it is no whole .zst file"),
        ("a.jsonl", '{"text": "a"}\n{"text": \n', "line 2 is not JSON"),
        ("a.jsonl", '{"text": "a"}\n\n3\n', "line 3 is no JSON object"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(tmp_path: Path, name: str, data: bytes | str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read(stream(tmp_path / name, data))


def test_a_byte_in_the_middle_of_a_large_file_is_named_by_its_line(tmp_path: Path) -> None:
    data = b"text\n" + b"a row of some length\n" * 20_000 + b"\xe9\n" + b"more\n" * 9000
    with pytest.raises(ValueError, match="byte 0xe9 in line 20002;"):
        read(stream(tmp_path / "a.csv", data), 1000)


def test_encodings_delimiters_and_quotes(tmp_path: Path) -> None:
    assert read(stream(tmp_path / "a.csv", "\ufefftext;b\na;1\n"))[0].rows() == [{"text": "a", "b": "1"}]
    assert read(stream(tmp_path / "b.csv", "text,b\r\né,1\r\n".encode("utf-16")))[0].rows() == [{"text": "é", "b": "1"}]
    assert read(stream(tmp_path / "c.tsv", 'text\tb\n"a\t1\n', quoting=False))[0].rows() == [{"text": '"a', "b": "1"}]
    latin = stream(tmp_path / "d.csv", "text|b\né|1\n".encode("cp1252"), encoding="cp1252", delimiter="|")
    assert read(latin)[0].column("text") == ["é"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32-le", "gb18030"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_byte_order_mark_is_no_part_of_the_rows(tmp_path: Path, encoding: str, mark: str) -> None:
    written = f"utf-16-{sys.byteorder[0]}e" if encoding == "utf-16" else encoding
    csv = stream(tmp_path / "a.csv", f"{mark}text,b\né,1\n".encode(written), encoding=encoding)
    assert csv.columns == ("text", "b") and read(csv)[0].rows() == [{"text": "é", "b": "1"}]
    lines = stream(tmp_path / "a.jsonl", (mark + '{"text": "é"}\n').encode(written), encoding=encoding)
    assert read(lines)[0].rows() == [{"text": "é"}]


def test_an_empty_line_is_a_row_of_a_single_column(tmp_path: Path) -> None:
    windows = read(stream(tmp_path / "a.csv", "\ntext\na\n\nb\r\n\r\n"), 3)
    assert [(window.first, window.column("text")) for window in windows] == [(1, ["a", "", "b"]), (4, [""])]
    assert read(stream(tmp_path / "b.csv", "text,n\na,1\n\nb,2\n"))[0].column("text") == ["a", "b"]


def test_a_row_may_be_very_long(tmp_path: Path) -> None:
    long = "word " * 2**20
    windows = read(
        stream(tmp_path / "a.csv", f"text,n\n{long},1\n" * 1 + "".join(f"{long},{n}\n" for n in range(2, 6))), 4
    )
    assert [len(window) for window in windows] == [4, 1]  # windows of heavy rows are short
    assert windows[0].column("text")[0] == long


def test_no_more_than_a_window_is_held(tmp_path: Path) -> None:
    """A file of 4 MB is read within 1 MB."""
    line = "0123456789" * 20 + "\n"
    for name, text in (("a.csv", "text\n" + line * 20_000), ("a.jsonl", f'{{"text": "{line.strip()}"}}\n' * 20_000)):
        found = stream(tmp_path / name, text)
        del text
        tracemalloc.start()
        try:
            rows = sum(len(window) for window in found.windows(repeat(1000)))
            assert (rows, tracemalloc.get_traced_memory()[1] < 2**20) == (20_000, True)
        finally:
            tracemalloc.stop()


def test_rows_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    found = stream(tmp_path / "a.csv", "text\n" + "a row\n" * 10**5 + "a,broken row\n")
    windows: Iterator[Window] = found.windows(iter([3, 5, 10**6]))
    assert [len(next(windows)), len(next(windows))] == [3, 5]
    assert isinstance(next(found.windows(repeat(2))), RowWindow)
    with pytest.raises(ValueError, match="row 100001"):
        next(windows)
