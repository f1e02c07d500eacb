from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice, repeat
from pathlib import Path

import pytest

from sweep.config.schema import DatasetConfig
from sweep.data.stream import TextFormat
from sweep.errors import UserError
from sweep.predict.rows import checked, growing, lines, opened, quoted

TEXT = (("--text-column", "text"),)


def test_windows_grow() -> None:
    assert list(islice(growing(8, 64), 7)) == [32, 64, 128, 256, 512, 512, 512]


def test_lines_are_answered_as_they_come() -> None:
    reading, writing = os.pipe()
    windows = lines(reading, "utf-8", repeat(3))
    os.write(writing, b"a\nb\nhalf")
    assert [row["text"] for row in next(windows).rows()] == ["a", "b"]
    os.write(writing, b" a line\n1\n2\n3\n4\n")
    assert [row["text"] for row in next(windows).rows()] == ["half a line", "1", "2"]
    assert [row["text"] for row in next(windows).rows()] == ["3", "4"]
    os.write(writing, b"\n\xc3")
    os.write(writing, b"\xa9")
    os.close(writing)
    rest = [(window.first, [row["text"] for row in window.rows()]) for window in windows]
    assert rest == [(8, ["", "é"])]
    os.close(reading)


@contextmanager
def piped(data: bytes) -> Iterator[int]:
    """Give the end of a pipe from which these bytes can be read, and no more."""
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    try:
        yield reading
    finally:
        os.close(reading)


def test_half_a_character_at_the_end_is_a_fault() -> None:
    said = "standard input: cannot be read: it is not utf-8: byte 0xc3 behind line 1"
    with piped(b"a\n\xc3") as reading, pytest.raises(UserError, match=said):
        list(lines(reading, "utf-8", repeat(3)))


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_lines_in_another_encoding(mark: str) -> None:
    with piped(f"{mark}é\r\nb\n".encode("utf-16-le")) as reading:
        (window,) = lines(reading, "utf-16-le", repeat(3))
    assert [row["text"] for row in window.rows()] == ["é", "b"]


def test_lines_whose_order_of_bytes_is_not_known_are_a_fault() -> None:
    said = "name the order of its bytes, as in --encoding utf-16-le"
    with piped(b"typed as UTF-8\n") as reading, pytest.raises(UserError, match=said):
        list(lines(reading, "utf-16", repeat(3)))


def test_the_columns_of_json_are_those_of_all_rows(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "a", "n": 1}\n{"text": "b", "n": 1.5, "m": true}\n{"text": null, "m": "yes"}\n')
    found = checked(opened(file, TextFormat()), TEXT)
    assert (found.count, found.schema.names, found.mixed) == (3, ["text", "n", "m"], ("m",))
    assert str(found.schema.field("n").type) == "double"


def test_a_file_without_rows_is_no_fault(tmp_path: Path) -> None:
    for name, data in (("a.csv", "id,text\n"), ("a.jsonl", "\n")):
        (tmp_path / name).write_text(data)
        assert checked(opened(tmp_path / name, TextFormat()), TEXT).count == 0


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(UserError, match="INPUT: is .*a.csv, which is not read"):
        opened(tmp_path / "a.csv", TextFormat())


def test_quoting_is_that_of_the_study_for_files_like_its_own(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text("text\n")
    unquoted = DatasetConfig(path=str(tmp_path), quoting=False)
    assert [quoted(tmp_path / name, unquoted) for name in ("a.tsv", "a.tsv.gz", "a.csv")] == [False, False, True]
    assert not quoted(tmp_path / "a.csv", DatasetConfig(path=str(tmp_path / "moved"), quoting=False))
    assert quoted(tmp_path / "a.tsv", DatasetConfig(path=str(tmp_path)))
