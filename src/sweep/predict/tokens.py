"""Texts as tokens of a model, with those that it cannot read whole or at all."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sweep.data.prompt import Prompt
from sweep.data.tokenise import tokens_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

# The reasons why a row has no label: what it has.
BLANK = "no text"
_HALF = "half a character (a lone surrogate)"
_NO_TOKEN = "no character that the tokenizer knows"
_BEYOND = "a token that the model has no embedding for"

_SURROGATE = re.compile("[\ud800-\udfff]")

Ids = list[int]


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a row by the tokenizer's columns. `cut`: the row has more than are read."""

    columns: Mapping[str, Ids]
    cut: bool

    def __len__(self) -> int:
        return len(self.columns["input_ids"])


@dataclass(frozen=True, slots=True)
class Reader:
    """Makes the tokens of a row as the study made them, at most `limit`.

    `vocabulary` is the number of embeddings of the model; None where it is not known. `special`
    are the tokens that stand for no part of a text.
    """

    tokenizer: Tokenizer
    limit: int
    prompt: Prompt | None
    vocabulary: int | None
    special: frozenset[int]

    @classmethod
    def of(cls, tokenizer: Tokenizer, limit: int, prompt: Prompt | None, vocabulary: int | None) -> Reader:
        """Return the reader of a model. The token of an unknown word is not special: it stands for
        a part of the text."""
        special = frozenset(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
        return cls(tokenizer, limit if prompt is None else prompt.limit, prompt, vocabulary, special)

    def read(self, texts: Sequence[str | None], pairs: Sequence[str | None] | None) -> list[Tokens | str]:
        """Return the tokens of each row, or the reason why it has none that the model reads."""
        parts = [(text,) for text in texts] if pairs is None else list(zip(texts, pairs, strict=True))
        found: list[Tokens | str] = [next(filter(None, map(_unusable, row)), "") for row in parts]
        there = [row for row, problem in enumerate(found) if not problem]
        if there:
            own = [parts[row][0] or "" for row in there]
            others = None if pairs is None else [parts[row][-1] or "" for row in there]
            for row, tokens in zip(there, self._tokens(own, others), strict=True):
                found[row] = self._problem(tokens.columns["input_ids"]) or tokens
        return found

    def _tokens(self, texts: list[str], pairs: list[str] | None) -> list[Tokens]:
        columns = tokens_of(self.tokenizer, self.limit, self.prompt, texts, pairs)
        cut = self._cut(texts, pairs, columns)
        return [
            Tokens({name: values[row] for name, values in columns.items()}, row in cut) for row in range(len(texts))
        ]

    def _cut(self, texts: list[str], pairs: list[str] | None, columns: Mapping[str, list[Ids]]) -> set[int]:
        """Return the rows that have more tokens than were read.

        Only rows at the limit are tokenised again, as a whole. With a prompt all are, since its
        text is cut between characters.
        """
        masks = columns.get("attention_mask")
        lengths = map(len, columns["input_ids"]) if masks is None else map(sum, masks)
        full = [row for row, length in enumerate(lengths) if length >= self.limit or self.prompt is not None]
        if not full:
            return set()
        whole = self._lengths([texts[row] for row in full], None if pairs is None else [pairs[row] for row in full])
        return {row for row, length in zip(full, whole, strict=True) if length > self.limit}

    def _lengths(self, texts: list[str], pairs: list[str] | None) -> list[int]:
        if self.prompt is not None:
            return self.prompt.lengths(self.tokenizer, texts, pairs)
        found = self.tokenizer(texts, pairs, truncation=False, padding=False, verbose=False)["input_ids"]
        return [len(ids) for ids in found]

    def _problem(self, ids: Ids) -> str:
        if self.vocabulary is not None and max(ids, default=0) >= self.vocabulary:
            return _BEYOND
        return _NO_TOKEN if self.prompt is None and self.special.issuperset(ids) else ""


def _unusable(text: str | None) -> str:
    """Return the reason why a text cannot be tokenised; empty where it can."""
    if text is None or not text.strip():
        return BLANK
    return _HALF if _SURROGATE.search(text) else ""
