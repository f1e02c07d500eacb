"""Rows that a model cannot take, found before any training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.architectures import END, WORDS, save_architecture, word_tokenizer
from sweep.config.schema import Config
from sweep.config.settings import TrainSettings
from sweep.data.splits import load_splits
from sweep.data.tokenise import TokenisedData
from sweep.model.rows import Looked, look

GOOD = ["ba be", "bo bi", "ca ce", "co ci", "da de"] * 4


def looked(model: Path, folder: Path, train: list[str], test: list[str] = GOOD, **sections: Any) -> Looked:
    data = folder / "data"
    data.mkdir()
    for name, texts in (("train", train), ("test", test)):
        rows = [{"text": text, "label": "ab"[i % 2]} for i, text in enumerate(texts)]
        (data / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tree = {"model": {"path": str(model)}, "dataset": {"path": str(data), **sections.pop("dataset", {})}, **sections}
    config = Config.model_validate_json(json.dumps(tree))
    return look(TrainSettings.of(config), TokenisedData(load_splits(config.dataset), folder / "tokens"))


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    save_architecture("bert", tmp_path / "bert", word_tokenizer())
    return tmp_path / "bert"


def test_rows_that_can_be_taken(bert: Path, tmp_path: Path) -> None:
    assert looked(bert, tmp_path, GOOD) == Looked(mean_length=4.0, longest=(4,) * 16)


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_text_that_gives_no_token(split: str, tmp_path: Path) -> None:
    """Its characters are unknown to a tokenizer without a token for what it does not know."""
    tokenizer = word_tokenizer()
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    state["normalizer"] = {"type": "Replace", "pattern": {"String": "\U0001f642"}, "content": ""}
    tokenizer._tokenizer = type(tokenizer.backend_tokenizer).from_str(json.dumps(state))
    save_architecture("gpt2", tmp_path / "gpt2", tokenizer)
    texts = [*GOOD, "\U0001f642", *GOOD]
    found = looked(tmp_path / "gpt2", tmp_path, **{"train": GOOD, split: texts})
    (fault,) = found.faults
    role = {fault.message.split(" of ")[1].split(" ")[0]} & {"train", "validation", "test"}
    assert fault.path == "dataset.text_column" and (role == {"test"}) == (split == "test")
    assert fault.message.startswith("holds 1 texts for which the tokenizer gives no token: row 21 of ")
    assert "'\U0001f642'" in fault.message


def test_an_unknown_word_is_a_token(bert: Path, tmp_path: Path) -> None:
    assert not looked(bert, tmp_path, [*GOOD, "xyzzy"]).faults


def test_rows_are_numbered_as_they_are_stored(bert: Path, tmp_path: Path) -> None:
    texts = [f"{one} <s>" for one in GOOD]
    texts[7] = "<s> <pad>"
    found = looked(bert, tmp_path, texts, dataset={"train_every_nth": 7})
    assert "row 8 of " in found.faults[0].message


@pytest.mark.parametrize("used", [True, False])
def test_ids_beyond_the_embeddings(tmp_path: Path, used: bool) -> None:
    """A tokenizer may know more words than the model; the data says whether it matters."""
    tokenizer = word_tokenizer()
    tokenizer.add_tokens([f"new{number}" for number in range(40)])
    save_architecture("bert", tmp_path / "bert", tokenizer)
    found = looked(tmp_path / "bert", tmp_path, GOOD, ["ba", "ba new30" if used else "be", *GOOD])
    if not used:
        assert not found.faults
        return
    (fault,) = found.faults
    known = len(word_tokenizer())
    assert fault.path == "model.path"
    assert f"(they end at 95): new30 ({known + 30}), in row 2 of test ('ba new30')" in fault.message


def test_ids_of_label_words_beyond_the_embeddings(tmp_path: Path) -> None:
    tokenizer = word_tokenizer(end=False)
    tokenizer.add_tokens([f"new{number}" for number in range(40)])
    save_architecture("gpt2", tmp_path / "gpt2", tokenizer)
    prompt = {"template": "{text}", "label_words": {"a": " new30", "b": " ba"}, "scoring": "mean"}
    (fault,) = looked(tmp_path / "gpt2", tmp_path, GOOD, prompt=prompt).faults
    assert "new30" in fault.message and "in prompt.label_words" in fault.message


def test_a_head_that_reads_an_end_mark_needs_one(tmp_path: Path) -> None:
    save_architecture("t5", tmp_path / "t5", word_tokenizer(end=False))
    (fault,) = looked(tmp_path / "t5", tmp_path, GOOD).faults
    assert fault.path == "model.path" and f"reads the end mark {END} (2)" in fault.message


def test_an_end_mark_in_a_text_is_no_fault(tmp_path: Path) -> None:
    save_architecture("bart", tmp_path / "bart", word_tokenizer())
    assert not looked(tmp_path / "bart", tmp_path, [*GOOD, f"ba {END} be"]).faults


def test_a_length_that_the_model_cannot_take_is_reported(tmp_path: Path) -> None:
    save_architecture("roberta", tmp_path / "roberta", word_tokenizer())
    found = looked(tmp_path / "roberta", tmp_path, GOOD, dataset={"max_length": 200})
    model = tmp_path / "roberta"
    assert found.notes == (f"dataset.max_length is 200, but {model} takes 39 tokens: texts are cut there",)


def test_padding_to_the_limit_is_reported(tmp_path: Path) -> None:
    save_architecture("fnet", tmp_path / "fnet", word_tokenizer())
    (note,) = looked(tmp_path / "fnet", tmp_path, [WORDS[0], *GOOD], dataset={"max_length": 16}).notes
    assert "fnet reads padding as if it were text: every row is padded to 16 tokens" in note
