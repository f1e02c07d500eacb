"""Two tokenizers that give a text other ids are two, whatever decides them."""

from __future__ import annotations

import copy
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, ProphetNetTokenizer

from sweep.data.tokenizer_fingerprint import tokenizer_fingerprint

VOCABULARY = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "[X_SEP]",
    "Good",
    "good",
    "thing",
    "café",
    "cafe",
    "一",
    "一二",
]
TEXT = "Good thing café 一二 [SEP]"


@pytest.fixture
def slow(tmp_path: Path) -> Any:
    """Makes tokenizers in Python that differ in nothing but what is asked for."""
    file = tmp_path / "vocabulary"
    file.write_text("\n".join(VOCABULARY) + "\n")

    def made(kind: type = ProphetNetTokenizer, **settings: Any) -> Any:
        return kind(str(file), **settings)

    return made


@pytest.mark.parametrize(
    "settings",
    [
        {"do_lower_case": False},
        {"strip_accents": True},
        {"tokenize_chinese_chars": False},
        {"do_basic_tokenize": False},
        {"unk_token": "thing"},
        {"split_special_tokens": True},
    ],
    ids=str,
)
def test_settings_of_a_tokenizer_in_python(slow: Any, settings: dict[str, Any]) -> None:
    plain, other = slow(do_lower_case=True), slow(**{"do_lower_case": True, **settings})
    assert plain.get_vocab() == other.get_vocab() and not plain.is_fast
    assert tokenizer_fingerprint(plain) == tokenizer_fingerprint(slow(do_lower_case=True))
    assert tokenizer_fingerprint(plain) != tokenizer_fingerprint(other)


def test_tokens_added_to_a_tokenizer_in_python(slow: Any) -> None:
    plain, special = slow(), slow()
    plain.add_tokens(["thingy"])
    special.add_tokens(["thingy"], special_tokens=True)
    assert len({tokenizer_fingerprint(slow()), tokenizer_fingerprint(plain), tokenizer_fingerprint(special)}) == 3


def test_a_place_is_no_part_of_it(slow: Any, tmp_path: Path) -> None:
    """Nor is padding, nor the limit: the same tokenizer in two folders."""
    for name in ("one", "two"):
        slow().save_pretrained(tmp_path / name)
    one, two = (AutoTokenizer.from_pretrained(tmp_path / name) for name in ("one", "two"))
    two.padding_side, two.model_max_length = "left", 7
    two(["a text"], padding=True)
    assert tokenizer_fingerprint(one) == tokenizer_fingerprint(two)


def test_code_of_its_own(slow: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tokenizer with code of its own (`trust_remote_code`) may have the same class and
    vocabulary, but another method."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    found = []
    for rule in ("text.upper()", "text.lower()"):
        (tmp_path / "own_tokenizer.py").write_text(
            "from transformers import ProphetNetTokenizer\n"
            "class Own(ProphetNetTokenizer):\n"
            f"    def _tokenize(self, text): return super()._tokenize({rule})\n"
        )
        monkeypatch.delitem(sys.modules, "own_tokenizer", raising=False)
        found.append(tokenizer_fingerprint(slow(import_module("own_tokenizer").Own)))
    assert found[0] != found[1]


def test_one_that_cannot_be_saved_is_like_no_other(slow: Any) -> None:
    class Unsaved(ProphetNetTokenizer):
        def save_pretrained(self, *_: Any, **__: Any) -> Any:
            raise NotImplementedError

    made = slow(Unsaved)
    assert tokenizer_fingerprint(made) != tokenizer_fingerprint(made)


def test_a_fast_one(tokenizer: Any) -> None:
    changed = [copy.deepcopy(tokenizer) for _ in range(3)]
    changed[0].add_tokens(["frobnicate"])
    changed[1].split_special_tokens = True
    changed[2].backend_tokenizer.normalizer = None
    assert len({tokenizer_fingerprint(one) for one in (tokenizer, *changed)}) == 4
    assert tokenizer_fingerprint(tokenizer) == tokenizer_fingerprint(copy.deepcopy(tokenizer))
