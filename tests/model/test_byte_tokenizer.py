"""One token a byte, without a file."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoTokenizer

from sweep.model.byte_tokenizer import byte_tokenizer


def test_every_byte_and_back() -> None:
    tokenizer = byte_tokenizer()
    text = "naïve — 東京 🙂\n\ttwo  spaces"
    ids = tokenizer(text)["input_ids"]
    assert len(tokenizer) == 256 + 3
    assert ids == [1, *(byte + 3 for byte in text.encode())]
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_a_pair_has_an_end_between() -> None:
    assert byte_tokenizer()("a", "b")["input_ids"] == [1, ord("a") + 3, 2, ord("b") + 3]


def test_saved_and_read_again(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again("ä pair", "of texts") == tokenizer("ä pair", "of texts")
    assert (again.pad_token_id, again.bos_token_id, again.eos_token_id) == (0, 1, 2)
