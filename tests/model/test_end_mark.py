"""End marks that are spelt out in a text, where the head reads the last one of a row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoTokenizer, ByT5Tokenizer, T5Tokenizer

from support.architectures import ENCODER_DECODERS, END, save_architecture, word_tokenizer
from sweep.config.schema import ModelConfig
from sweep.model.end_mark import read_marks_as_text
from sweep.model.tokenizer import load_tokenizer

PIECES = [
    ("<pad>", 0.0),
    (END, 0.0),
    ("<unk>", 0.0),
    *((one, -3.0) for one in ("▁", "a", "b", "s", "<", "/", ">", "▁a")),
]


@pytest.mark.parametrize("name", ENCODER_DECODERS)
def test_a_batch_with_an_end_mark_in_one_text_is_scored(name: str, tmp_path: Path) -> None:
    """The saved tokenizer gives the same scores too, for a text alone or in a batch."""
    model = save_architecture(name, tmp_path / "model", word_tokenizer())
    tokenizer = load_tokenizer(ModelConfig(path=str(tmp_path / "model")))
    tokenizer.save_pretrained(tmp_path / "saved")
    texts = ["ba be", f"ba {END} be", END, f"{END}{END} bo ba {END}"]
    for one in (tokenizer, AutoTokenizer.from_pretrained(tmp_path / "saved")):
        with torch.no_grad():
            together = model(**one(texts, padding=True, return_tensors="pt")).logits
            alone = torch.cat([model(**one(text, return_tensors="pt")).logits for text in texts])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(together[0], together[1], atol=1e-4)  # the mark is text, and not left out


@pytest.mark.parametrize(
    "made",
    [lambda: T5Tokenizer(vocab=PIECES, extra_ids=2), ByT5Tokenizer, word_tokenizer],
    ids=["pieces", "bytes", "words"],
)
def test_a_mark_is_the_tokenizers_own_alone(made: Any, tmp_path: Path) -> None:
    plain = made()
    mark, texts = plain.eos_token_id, ["a b", "a < b", "</ s>", "a  b </S> ", "s/>"]
    before = [plain(text).input_ids for text in texts]
    assert plain(f"a {END} b").input_ids.count(mark) == 2
    tokenizer = read_marks_as_text(plain, AutoConfig.for_model("t5", eos_token_id=mark))
    tokenizer.save_pretrained(tmp_path)
    for one in (tokenizer, AutoTokenizer.from_pretrained(tmp_path)):
        assert [one(text).input_ids for text in texts] == before
        for text in (f"a {END} b", f"a{END}b", f"{END}{END}", END):
            assert one(text).input_ids.count(mark) == 1
        assert one(f"a b {END} a b a", truncation=True, max_length=4).input_ids[-1] == mark


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
def test_other_heads_take_special_tokens_as_they_did(name: str) -> None:
    tokenizer = word_tokenizer()
    assert read_marks_as_text(tokenizer, AutoConfig.for_model(name)) is tokenizer
    assert tokenizer(f"ba {END} be").input_ids.count(2) == 2
