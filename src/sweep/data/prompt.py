"""Prompts as tokens: a filled template, and the label words that may follow it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from sweep.config.schema import PromptConfig
from sweep.data.labels import LabelSpace
from sweep.data.template import TEMPLATE, WORDS, filled, label_words
from sweep.data.token_limit import token_limit
from sweep.errors import Fault, UserError

if TYPE_CHECKING:
    from transformers import BatchEncoding
    from transformers import PreTrainedTokenizerBase as Tokenizer


@dataclass(frozen=True, slots=True)
class Prompt:
    """A template and its label words in the tokens of one tokenizer.

    `words[i]` are the tokens of label i, which are scored by their mean instead of their sum if
    `mean`. A filled template has at most `limit` tokens, including `start`, the tokens that the
    tokenizer puts before every text.
    """

    template: str
    words: tuple[tuple[int, ...], ...]
    mean: bool
    limit: int
    start: tuple[int, ...]

    def encode(self, tokenizer: Tokenizer, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[list[int]]:
        """Return the tokens of the template filled with each text.

        If they are too many, the text is cut on the tokenizer's truncation side, the longer one of
        a pair first. The template is never cut.
        """
        seconds = pairs or [""] * len(texts)
        rows = zip(texts, seconds, strict=True)
        found = self._tokens(tokenizer, [filled(self.template, text, pair) for text, pair in rows])
        for index, ids in enumerate(found):
            if len(ids) > self.limit:
                found[index] = self._cut(tokenizer, texts[index], seconds[index])
        return found

    def lengths(self, tokenizer: Tokenizer, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[int]:
        """Return the number of tokens of the template filled with each whole text."""
        rows = zip(texts, pairs or [""] * len(texts), strict=True)
        return [len(ids) for ids in self._tokens(tokenizer, [filled(self.template, *row) for row in rows])]

    def batch(self, tokenizer: Tokenizer, texts: Sequence[str], pairs: Sequence[str] | None = None) -> BatchEncoding:
        """Return `input_ids` and `attention_mask` for a model that scores label words."""
        from transformers.data.data_collator import pad_without_fast_tokenizer_warning as padded

        tokens = {"input_ids": self.encode(tokenizer, texts, pairs)}
        return cast("BatchEncoding", padded(tokenizer, tokens, return_tensors="pt"))  # type: ignore[no-untyped-call]

    def _cut(self, tokenizer: Tokenizer, text: str, pair: str) -> list[int]:
        """Return the tokens with as many characters of each text as fit, found by bisection.

        Counting the tokens of the text alone is not enough, since tokens merge across its edges.
        """
        fits, low, high = self._tokens(tokenizer, [filled(self.template, "", "")])[0], 0, max(len(text), len(pair))
        while high - low > 1:
            middle = (low + high) // 2
            shorter = (_kept(one, middle, tokenizer.truncation_side) for one in (text, pair))
            ids = self._tokens(tokenizer, [filled(self.template, *shorter)])[0]
            if len(ids) <= self.limit:
                fits, low = ids, middle
            else:
                high = middle
        return fits

    def _tokens(self, tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
        return [[*self.start, *ids] for ids in _bare(tokenizer, texts)]


def bind(prompt: PromptConfig, labels: LabelSpace, tokenizer: Tokenizer, *, max_length: int | None) -> Prompt:
    """Return the prompt in the tokens of a tokenizer.

    Raises UserError if labels have the same tokens, or if the limit leaves no room for a text.
    """
    texts = label_words(prompt, labels)
    words = {
        name: _continuation(tokenizer, prompt.template, text) for name, text in zip(labels.names, texts, strict=True)
    }
    start, limit = _start(tokenizer), token_limit(tokenizer, max_length)
    longest = max(map(len, words.values()))
    bare = len(start) + len(_bare(tokenizer, [filled(prompt.template, "", "")])[0])
    faults = [*_unclear(words, prompt.scoring)]
    if bare + longest > limit:
        rule = f"takes {bare} tokens without any text and the longest label words {longest}, but a row may have {limit}"
        faults.append(Fault(TEMPLATE, f"{rule} (dataset.max_length and the model's own limit)"))
    if bare == 0:
        faults.append(Fault(TEMPLATE, f"is {prompt.template!r}, but a prompt without any text must have a token"))
    if faults:
        raise UserError(faults)
    return Prompt(prompt.template, tuple(words.values()), prompt.scoring == "mean", limit - longest, start)


def _unclear(words: dict[str, tuple[int, ...]], scoring: str) -> Iterator[Fault]:
    """Yield the faults of label words: empty, equal, or, with the sum, words that begin with all
    words of another label, which can never score higher."""
    for name, ids in words.items():
        if not ids:
            rule = (
                f"for {name} run together with the template's end in this tokenizer; begin the words with a space, and"
            )
            yield Fault(WORDS, f"{rule} do not end the template with one")
    clear = [(name, ids) for name, ids in words.items() if ids]
    for index, (name, ids) in enumerate(clear):
        for other, others in clear[:index]:
            if ids == others:
                yield Fault(WORDS, f"for {other} and for {name} are the same tokens in this tokenizer; choose others")
            elif scoring == "sum" and (ids[: len(others)] == others or others[: len(ids)] == ids):
                shorter, longer = (other, name) if len(others) < len(ids) else (name, other)
                rule = f"for {longer} begin with all of those for {shorter}, so that {shorter} always scores higher"
                yield Fault(WORDS, f"{rule}; choose others, or prompt.scoring=mean")


def _kept(text: str, count: int, truncation_side: str) -> str:
    return text[max(len(text) - count, 0) :] if truncation_side == "left" else text[:count]


def _continuation(tokenizer: Tokenizer, template: str, words: str) -> tuple[int, ...]:
    """Return the tokens that `words` add to a filled template; none if they change the tokens
    before them.

    Some tokenizers give the same words other tokens when they are alone.
    """
    context = filled(template, "a", "a")
    before, whole = _bare(tokenizer, [context, context + words])
    return tuple(whole[len(before) :]) if whole[: len(before)] == before else ()


def _start(tokenizer: Tokenizer) -> tuple[int, ...]:
    """Return the tokens that the tokenizer puts before a text.

    Tokens that it puts after a text are not used, since they would come before the label words.
    """
    whole: Any = tokenizer("a")["input_ids"]
    (bare,) = _bare(tokenizer, ["a"])
    offsets = (offset for offset in range(len(whole)) if whole[offset : offset + len(bare)] == bare)
    return tuple(whole[: next(offsets, 0)])


def _bare(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    found: Any = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    return [list(ids) for ids in found]
