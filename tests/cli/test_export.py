from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from support.program import run
from support.random_winners import winner
from support.tiny import tiny_bert
from sweep.records.winner import Winner


@pytest.fixture
def one(tmp_path: Path) -> Winner:
    return winner(tmp_path, tiny_bert(tmp_path / "bert"), {"method": "lora"}, trainer={"bf16": True})


def test_what_was_checked_and_how_to_use_it_is_printed(
    one: Winner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out"
    assert run(monkeypatch, "export", str(one.store.root), "--to", "merged", str(target), "--rows", "6") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("Checked   on 6 of 12 validation rows: logits differ from those of the study by at most")
    assert "the study computed in bfloat16" in said[1]
    assert said[-2:] == [
        f"Exported  {target}", f'Use       pipeline("text-classification", model="{target}", truncation=True)',
    ]  # fmt: skip
    found = json.loads((target / "export.json").read_text())
    assert (found["form"], found["trial"], found["rows"], found["labels"]) == (
        "merged",
        1,
        6,
        ["balance", "card", "fees"],
    )


def test_what_is_printed_at_an_import_is_no_result(
    one: Winner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def printing(_name: str) -> object:
        print("of a library")
        return SimpleNamespace(run=lambda *_: print("Checked"))

    monkeypatch.setattr("sweep.cli.export.import_module", printing)
    assert run(monkeypatch, "export", str(one.store.root), "--to", "merged", str(tmp_path / "out")) == 0
    said = capsys.readouterr()
    assert said.out == "Checked\n" and "of a library\n" in said.err


def test_a_folder_with_files_stays_as_it_is(
    one: Winner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    assert run(monkeypatch, "export", str(one.store.root), "--to", "merged", str(tmp_path / "out")) == 2
    assert "holds files already" in capsys.readouterr().err
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["mine.txt"]


@pytest.mark.slow
def test_a_difference_beyond_the_tolerance_ends_with_exit_code_2(
    one: Winner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--to", "merged", str(tmp_path / "out"), "--tolerance", "1e-9"]
    assert run(monkeypatch, "export", str(one.store.root), *asked) == 2
    assert "--tolerance: is 1e-09, but a logit differs from that of the study by" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--to", "merged"], "required: PLACE"),
        (["out", "--to", "gguf"], "invalid choice: 'gguf'"),
        (["out", "--to", "onnx", "--tolerance", "-1"], "must be a number from 0 on"),
        (["out", "--to", "onnx", "--rows", "0"], "--rows: is 0, but must be a whole number from 1 on"),
        (["out", "--to", "onnx", "--rows", "x"], "--rows: is 'x', but must be a whole number from 1 on"),
        (["out", "--to", "onnx", "--tolerance", "x"], "--tolerance: is 'x', but must be a number from 0 on"),
    ],
)
def test_arguments_are_checked_first(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "export", "run", *words) == 2
    assert said in capsys.readouterr().err
