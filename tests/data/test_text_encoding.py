from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sweep.config.schema import DatasetConfig
from sweep.data.splits import load_splits

FRENCH = "text,label\nplain words,a\nLe café était fermé,b\nthe “quoted” façade costs 5 €,a\n"
LINES = '{"text": "plain words", "label": "a"}\n{"text": "le café", "label": "b"}\n'


def texts(path: Path, **config: Any) -> set[str]:
    splits = load_splits(DatasetConfig(path=str(path), test_split=None, **config))
    return {*splits.train.texts, *splits.validation.texts}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_marks_are_followed(folder, encoding):
    (folder / "train.csv").write_bytes(FRENCH.encode(encoding))
    (folder / "lines.jsonl").write_bytes(LINES.encode(encoding))
    assert "Le café était fermé" in texts(folder)
    assert texts(folder, train_split="lines") == {"plain words", "le café"}


@pytest.mark.parametrize("name", ["utf-16", "utf-32"])
def test_an_encoding_without_a_mark_has_the_order_of_this_machine(folder, name):
    (folder / "train.csv").write_bytes(FRENCH.encode(f"{name}-{sys.byteorder[0]}e"))
    assert "Le café était fermé" in texts(folder, encoding=name)


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-16-le", "utf-8-sig", "utf-8"])
def test_an_encoding_can_be_given(folder, encoding):
    (folder / "train.csv").write_bytes(FRENCH.encode(encoding))
    (folder / "lines.jsonl").write_bytes(LINES.encode(encoding))
    assert "the “quoted” façade costs 5 €" in texts(folder, encoding=encoding)
    assert texts(folder, train_split="lines", encoding=encoding) == {"plain words", "le café"}


@pytest.mark.parametrize(("name", "content"), [("train.csv", FRENCH), ("train.jsonl", LINES)])
def test_another_encoding_is_named_with_the_place_and_what_it_would_read(folder, only_fault, name, content):
    data = content.encode("cp1252")
    (folder / name).write_bytes(data)
    message = only_fault(folder, test_split=None).message
    line = next(number for number, line in enumerate(content.splitlines(), start=1) if "é" in line)
    assert f"{name} cannot be read: it is not UTF-8: byte 0xe9 in line {line}" in message
    assert f"(byte {data.index(0xE9) + 1} of the file)" in message
    assert "likely: dataset.encoding=cp1252 reads" in message and "café" in message


def test_a_guess_is_no_latin_one_where_the_alphabet_is_not(folder, only_fault):
    rows = "text,label\nПривет мир это хороший фильм,a\nплохой фильм совсем,b\n"
    (folder / "train.csv").write_bytes(rows.encode("cp1251"))
    assert "likely: dataset.encoding=cp1251 reads 'Привет мир" in only_fault(folder, test_split=None).message


def test_bytes_outside_of_the_given_encoding(folder, only_fault):
    (folder / "train.csv").write_bytes(FRENCH.encode())
    assert "it is not ascii: byte 0xc3 in line 3" in only_fault(folder, test_split=None, encoding="ascii").message


def test_utf_16_without_a_mark_is_reported(folder, only_fault):
    (folder / "train.csv").write_bytes(FRENCH.encode("utf-16-be"))
    assert "set dataset.encoding=utf-16-be" in only_fault(folder, test_split=None).message


def test_columns_that_are_not_used_may_hold_any_bytes(folder):
    (folder / "train.csv").write_bytes(b"text,label,other\none,a,\xff\ntwo,b,\xfe\n")
    assert texts(folder) == {"one", "two"}


@pytest.mark.parametrize("name", ["nope", "base64", "rot13", ""])
def test_an_encoding_is_one_of_python_s(name):
    with pytest.raises(ValidationError, match="text encoding that Python knows"):
        DatasetConfig(encoding=name)


def test_an_encoding_has_no_effect_on_parquet(folder, write, rows_of):
    write("train.parquet", rows_of(10))
    splits = load_splits(DatasetConfig(path=str(folder), test_split=None, encoding="cp1252"))
    assert splits.warnings == ("dataset.encoding (cp1252) has no effect: what is read is Parquet",)


def test_settings_of_text_files_have_no_effect_on_others(folder, write, rows_of):
    write("train.jsonl", rows_of(10))
    config = DatasetConfig(path=str(folder), test_split=None, delimiter="\t", quoting=False, encoding="utf-8-sig")
    rule = 'dataset.delimiter ("\\t") and dataset.quoting (false) have no effect: what is read is JSON'
    assert load_splits(config).warnings == (rule,)
    assert load_splits(config, said=lambda _: False).warnings == ()  # a shipped config says so, of another copy
    write("test.csv", rows_of(4, start=50))
    mixed = config.model_copy(update={"test_split": "test", "delimiter": ",", "quoting": False})
    assert load_splits(mixed).warnings == ()
