"""`sweep predict`, as its user runs it, in this process."""

from __future__ import annotations

import csv
import errno
import gzip
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

import sweep
from sweep.cli.predict import main
from sweep.errors import UserError
from sweep.predict.classifier import Classifier

TEXTS = ["my card", "a, b", "", "how do i change the pin of my card please", "fee"]
CSV = 'id,text\n1,my card\n2,"a, b"\n3,\n4,how do i change the pin of my card please\n5,fee\n'


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    (tmp_path / "rows.csv").write_text(CSV)
    return tmp_path / "rows.csv"


def ended(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as stop:
        main([*map(str, arguments)])
    return int(stop.value.code or 0)


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_rows_keep_their_order_and_columns(winner: Path, rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(winner), str(rows), "--all", "--top", "2"])
    said = capsys.readouterr()
    found, expected = table(said.out), sweep.load(winner).predict(TEXTS)
    assert [row["id"] for row in found] == ["1", "2", "3", "4", "5"]
    assert [row["text"] for row in found] == TEXTS
    assert list(found[0])[2:] == [
        "label", "probability", "label_1", "probability_1", "label_2", "probability_2",
        "probability_card", "probability_money", "probability_bank",
    ]  # fmt: skip
    for row, one in zip(found, expected, strict=True):
        if one.label is None:
            assert set(list(row.values())[2:]) == {""}
            continue
        assert row["label"] == row["label_1"] == one.label
        assert float(row["probability"]) == float(row["probability_1"]) == pytest.approx(one.probability, abs=1e-6)
        assert float(row["probability_card"]) == pytest.approx(one.probabilities["card"], abs=1e-6)
    assert said.err.splitlines()[0].startswith("5 rows in ")
    assert said.err.splitlines()[1:] == [
        "note: 1 of 5 rows have no label, since they have no text: row 3",
        "note: 1 of 5 rows are longer than the 8 tokens that the model reads, and were cut: row 4",
    ]


def test_what_is_printed_at_an_import_is_no_row(
    winner: Path, rows: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def printing(name: str) -> object:
        print("of a library")
        return import_module(name)

    monkeypatch.setattr("sweep.cli.predict.import_module", printing)
    main([str(winner), str(rows)])
    said = capsys.readouterr()
    assert said.out.startswith("id,text,label,") and said.err.startswith("of a library\n5 rows in ")


def test_formats(several: Path, tmp_path: Path) -> None:
    """Rows go through every format; lists of labels are lists where the format has them."""
    moment = pa.array([1, 2, None], pa.timestamp("ns"))
    given = pa.table({"text": ["my card", "fee", None], "at": moment, "more": [{"n": 1}] * 3})
    parquet.write_table(given, tmp_path / "a.parquet")
    expected = sweep.load(several).predict(["my card", "fee", None])
    labels = [None if one.label is None else list(one.label) for one in expected]

    main([str(several), str(tmp_path / "a.parquet"), "--out", str(tmp_path / "b.parquet")])
    found = parquet.read_table(tmp_path / "b.parquet")
    assert found.select(["text", "at", "more"]).equals(given)
    assert found["label"].to_pylist() == labels
    assert found["probability"].to_pylist() == [one.probability for one in expected]

    main([str(several), str(tmp_path / "a.parquet"), "--out", str(tmp_path / "c.jsonl.gz")])
    packed = (tmp_path / "c.jsonl.gz").read_bytes()
    lines = [json.loads(line) for line in gzip.decompress(packed).splitlines()]
    assert [line["label"] for line in lines] == labels and lines[0]["more"] == {"n": 1}

    main([str(several), str(tmp_path / "c.jsonl.gz"), "--out", str(tmp_path / "d.parquet"), "--prefix", "again_"])
    found = parquet.read_table(tmp_path / "d.parquet")
    assert found["label"].to_pylist() == found["again_label"].to_pylist() == labels

    main([str(several), str(tmp_path / "d.parquet"), "--out", str(tmp_path / "e.tsv.zst"), "--prefix", "e_"])
    with pa.input_stream(str(tmp_path / "e.tsv.zst")) as file:
        (first, *_) = csv.DictReader(io.StringIO(file.read().decode()), delimiter="\t")
    assert first["more"] == '{"n": 1}' and first["e_label"] == "|".join(labels[0] or [])
    assert sorted(path.name for path in tmp_path.glob("[a-z].*")) == [
        "a.parquet", "b.parquet", "c.jsonl.gz", "d.parquet", "e.tsv.zst",
    ]  # fmt: skip


def test_pairs_are_found_by_their_columns(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jsonl").write_text('{"two": "fee", "text": "my card"}\n{"text": "x"}\n')
    main([str(pairs), str(tmp_path / "a.jsonl"), "--text-pair-column", "two"])
    found = table(capsys.readouterr().out)
    (expected,) = sweep.load(pairs).predict(["my card"], ["fee"])
    assert (found[0]["label"], found[1]["label"], list(found[0])[:2]) == (expected.label, "", ["two", "text"])
    assert ended(pairs, "-") == 2
    assert "INPUT: is -, but the model reads two texts a row; give a file" in capsys.readouterr().err


@contextmanager
def piped(data: bytes) -> Iterator[None]:
    """Put bytes on standard input."""
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    with os.fdopen(reading) as stream, pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", stream)
        yield


def test_lines_of_standard_input(winner: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with piped("\ufeffmy card\r\n\nfee, caf\u00e9".encode()):
        main([str(winner), "-"])
    found = table(capsys.readouterr().out)
    assert [row["text"] for row in found] == ["my card", "", "fee, café"]
    expected = sweep.load(winner).predict(["my card", "", "fee, café"])
    assert [row["label"] for row in found] == [one.label or "" for one in expected]
    with piped("my card\ncaf\u00e9\n".encode("cp1252")):
        assert ended(winner, "-") == 2
    assert "standard input: cannot be read: it is not utf-8: byte 0xe9" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "data", "options", "said"),
    [
        ("a.csv", "text,label\na,b\n", [], "--prefix: is '', but would replace label, which the input has already; choose"),
        ("a.csv", "body,n\na,b\n", [], "--text-column: is text, but .*a.csv has no such column; it has: body, n; name"),
        ("a.csv", "id;text\n1;a\n", ["--delimiter", ","], "it has: id;text; its fields are parted otherwise: type --delimiter ';'"),
        ("a.csv", "a\nb\n", [], "texts without a header are read from standard input, one a line"),
        ("a.csv", "text\na\nb,c\n", [], r"a.csv: cannot be read: row 2 \(line 3\) has 2 fields, but the header has 1"),
        ("a.csv", b"text\ncaf\xe9\n", [], "line 2; likely: --encoding cp1252 reads 'café'"),
        ("a.jsonl", '{"text": "a"}\n{"text": 3}\n', [], "--text-column: is text, which holds 3 in row 2 of the input"),
        ("a.jsonl", '{"txt": "a"}\n', [], r"no such column \(did you mean txt\?\)"),
        ("a.xlsx", "x", [], "INPUT: is .*a.xlsx, which is not read .a spreadsheet: save the sheet as CSV"),
        ("a.csv", "text\na\n", ["--top", "4"], "--top: is 4, but the model has 3 labels"),
        ("a.csv", "text\na\n", ["--out", "b.xml"], "--out: is b.xml, whose ending names no format"),
        ("a.csv", "text\na\n", ["--out", "no/b.csv"], "--out: is no/b.csv, but no is no folder"),
        ("a.csv", "text\na\n", ["--out", "{input}"], "--out: is .*a.csv, which is INPUT itself"),
        ("a.unfinished.csv", "text\na\n", ["--out", "a.csv"], "--out: is a.csv, whose rows are kept in a.unfinished.csv until"),
        ("a.jsonl", '{"text": "a"}\n', ["--delimiter", ";"], "--delimiter: has no effect on a file of JSON; leave it out"),
        ("a.csv", "text\na\n", ["--text-pair-column", "b"], "--text-pair-column: is b, but the model reads one text"),
        ("a.jsonl", '{"text": "a", "n": 1}\n{"text": "a", "n": []}\n', ["--out", "b.parquet"], "--out: .* are in n; write"),
        ("", "", [], "INPUT: is .*, but there is no such file"),
    ],
)  # fmt: skip
def test_a_fault_is_told_before_a_model_is_loaded(
    winner: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    name: str, data: str | bytes, options: list[str], said: str,
) -> None:  # fmt: skip
    monkeypatch.setattr("sweep.predict.loading.of_winner", None)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / (name or "missing.csv")
    if name:
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    assert ended(winner, path, *[option.format(input=path) for option in options]) == 2
    message = capsys.readouterr().err
    assert message.startswith("sweep: 1 thing to mend:") and re.search(said, message)
    assert {one.name for one in tmp_path.glob("*.*")} <= {name, ".own"}


@pytest.mark.parametrize("text", ["I have lost my card", "a long text " * 100])
def test_a_text_in_place_of_a_file_is_refused_with_the_way_to_give_one(
    winner: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(winner, text) == 2
    said = capsys.readouterr().err
    assert "there is no such file; a text itself is read from standard input, by INPUT -" in said and len(said) < 300


def test_all_faults_are_told_at_once(winner: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(winner, tmp_path / "no.csv", "--out", tmp_path / "a.xml", "--top", "9") == 2
    assert capsys.readouterr().err.startswith("sweep: 3 things to mend:")


def test_options_that_would_change_nothing_are_refused(
    winner: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(winner, "-", "--text-column", "body", "--delimiter", ";", "--quoting", "off") == 2
    said = capsys.readouterr().err
    for flag in ("--text-column", "--delimiter", "--quoting"):
        assert f"{flag}: has no effect on texts on standard input; leave it out" in said
    assert ended(winner, tmp_path / "no.parquet", "--encoding", "cp1252") == 2
    assert "--encoding: has no effect on a Parquet file; leave it out" in capsys.readouterr().err


def test_quoting_may_be_switched_off(winner: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.tsv").write_text('text\tn\n"a card\t1\n')
    main([str(winner), str(tmp_path / "a.tsv"), "--quoting", "off"])
    assert [row["text"] for row in table(capsys.readouterr().out)] == ['"a card']


def test_a_run_directory_without_its_model_says_so(
    winner: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("lock.json", "final/record.json"):
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).write_bytes((winner / name).read_bytes())
    assert ended(tmp_path / "run", "-") == 2
    assert "final/model: holds no saved model: it lacks sweep_model.json" in capsys.readouterr().err


def many(tmp_path: Path) -> Path:
    (tmp_path / "many.csv").write_text("text\n" + "my card\n" * 100)
    return tmp_path / "many.csv"


def failing(monkeypatch: pytest.MonkeyPatch, error: Callable[[], BaseException]) -> list[int]:
    """Let the third window of every model fail. Return the sizes of the windows."""
    own, sizes = Classifier.predict, list[int]()

    def predict(model: Classifier, texts: list[str], *rest: object, **options: object) -> object:
        sizes.append(len(texts))
        if len(sizes) == 3:
            raise error()
        return own(model, texts, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Classifier, "predict", predict)
    return sizes


def test_what_was_done_is_kept_when_the_user_stops(
    winner: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = failing(monkeypatch, KeyboardInterrupt)
    assert ended(winner, many(tmp_path), "--out", tmp_path / "out.csv") == 130
    assert sizes == [16, 32, 52]  # small windows first, so that rows come early
    kept = tmp_path / "out.unfinished.csv"
    assert capsys.readouterr().err == f"sweep: stopped after 48 of 100 rows, which are in {kept}\n"
    assert not (tmp_path / "out.csv").exists() and len(table(kept.read_text())) == 48


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "--out: could not be written to (No space left on device)"),
        (UserError.of("", "out of memory for one row of 8 tokens"), "out of memory for one row of 8 tokens"),
    ],
)
def test_what_was_done_is_kept_after_a_fault(
    winner: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    error: Exception, said: str,
) -> None:  # fmt: skip
    failing(monkeypatch, lambda: error)
    assert ended(winner, many(tmp_path), "--out", tmp_path / "out.jsonl.gz") == 2
    kept = tmp_path / "out.unfinished.jsonl.gz"
    assert f"  - {said}; done: 48 of 100 rows, which are in {kept}\n" in capsys.readouterr().err
    assert len(gzip.decompress(kept.read_bytes()).splitlines()) == 48


def test_a_reader_that_has_gone_ends_it_quietly(
    winner: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        monkeypatch.setattr("sys.stdout", stream)
        assert ended(winner, many(tmp_path)) == 141
        assert capsys.readouterr().err == ""
