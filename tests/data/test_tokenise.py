from __future__ import annotations

import copy
from pathlib import Path

import pytest

from sweep.config.schema import DatasetConfig
from sweep.data import tokenise as module
from sweep.data.labels import LabelSpace
from sweep.data.splits import Rows, load_splits
from sweep.data.tokenise import TokenisedData, tokenise

TWO = LabelSpace("single_label", ("a", "b"))
ROWS = Rows(("hello there", "a much longer text than the other one, by far"), None, (0, 1))


@pytest.fixture
def run(tokenizer, tmp_path):
    def run(rows: Rows = ROWS, labels: LabelSpace = TWO, max_length: int | None = None, tokenizer=tokenizer):
        return tokenise(rows, tokenizer, labels=labels, max_length=max_length, cache=tmp_path / "tokens")

    return run


def files(tmp_path: Path) -> set[str]:
    return {file.name for file in (tmp_path / "tokens").iterdir()}


def test_tokens_are_the_tokenizers_own(run, tokenizer):
    made = run()
    assert set(made.column_names) == {"input_ids", "token_type_ids", "attention_mask", "labels", "length"}
    assert [list(row["input_ids"]) for row in made] == [tokenizer(text)["input_ids"] for text in ROWS.texts]
    assert list(made["length"]) == [len(row["input_ids"]) for row in made]
    assert list(made["labels"]) == [0, 1]


def test_pairs_are_marked(run, tokenizer):
    made = run(Rows(("one two",), ("three",), (0,)))
    assert made[0]["input_ids"] == tokenizer("one two", "three")["input_ids"]
    assert 1 in made[0]["token_type_ids"]


def test_several_labels_are_floats(run):
    made = run(Rows(("one", "two"), None, ((0, 1), (1, 1))), LabelSpace("multi_label", ("a", "b")))
    assert list(made["labels"]) == [[0.0, 1.0], [1.0, 1.0]]
    assert made.features["labels"].feature.dtype == "float32"


def test_more_rows_than_a_batch_keep_their_order(run, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 3)
    rows = Rows(tuple("x " * (i + 1) for i in range(10)), None, (0, 1) * 5)
    assert list(run(rows)["length"]) == [i + 3 for i in range(10)]


def test_rows_are_cut_to_the_length(run):
    assert list(run(max_length=5)["length"]) == [4, 5]


def test_tokens_are_kept_on_disk(run, tokenizer, tmp_path):
    first = run()
    assert len(files(tmp_path)) == 1
    tokenizer(["a text"], truncation=True, padding=True, max_length=7)  # leaves its settings in the tokenizer
    second = run(tokenizer=copy.deepcopy(tokenizer))
    assert len(files(tmp_path)) == 1 and list(second) == list(first)


def test_anything_that_changes_tokens_is_another_file(run, tokenizer, tmp_path):
    other = copy.deepcopy(tokenizer)
    other.add_tokens(["frobnicate"])
    run()
    run(max_length=5)
    run(Rows(ROWS.texts, None, (1, 1)))
    run(Rows(ROWS.texts, ROWS.texts, (0, 1)))
    run(tokenizer=other)
    assert len(files(tmp_path)) == 5


@pytest.mark.parametrize("damage", ["cut short", "a bit flipped"])
def test_a_damaged_file_is_made_again(run, tmp_path, capsys, damage):
    whole = list(run())
    (file,) = (tmp_path / "tokens").iterdir()
    content = file.read_bytes()
    token = content.index(int(whole[0]["input_ids"][1]).to_bytes(4, "little"))
    flipped = bytes([*content[:token], content[token] ^ 1, *content[token + 1 :]])
    file.write_bytes(content[:100] if damage == "cut short" else flipped)
    assert list(run()) == whole
    assert capsys.readouterr().err == f"sweep: {file} is damaged, and is made again\n"
    assert list(run()) == whole and not capsys.readouterr().err
    assert file.read_bytes() == content


def test_a_failure_leaves_nothing_behind(run, tmp_path):
    with pytest.raises(AttributeError):
        run(Rows(("one",), None, (object(),)), tokenizer=None)  # type: ignore[arg-type]
    assert not (tmp_path / "tokens").exists() or not files(tmp_path)


def test_trials_share_the_tokens(toy, tokenizer, tmp_path):
    data = TokenisedData(load_splits(DatasetConfig(path=str(toy))), tmp_path / "tokens")
    assert data.train(tokenizer, None) is data.train(tokenizer, 512)
    assert data.train(tokenizer, None) is not data.train(tokenizer, 4)
    assert (len(data.train(tokenizer, None)), len(data.validation(tokenizer, None))) == (16, 4)
