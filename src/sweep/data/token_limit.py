"""The limit on the tokens of a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sweep.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

_FALLBACK = 512
_UNLIMITED = 1_000_000  # a tokenizer without a limit has 10**30


def token_limit(tokenizer: Tokenizer, max_length: int | None) -> int:
    """Return the most tokens of a row: `max_length`, but at most the model's limit.

    Without a `max_length` it is the model's limit, or 512 for a model without one.
    """
    if tokenizer.model_max_length >= _UNLIMITED:
        return max_length or _FALLBACK
    return min(max_length or tokenizer.model_max_length, tokenizer.model_max_length)


def check_length(max_length: int | None, tokenizer: Tokenizer, *, paired: bool) -> None:
    """Raise UserError if the length limit leaves no room for text beside the special tokens.

    `max_length` is in tokens, and None has no fault; `paired` says that a row has two texts.
    """
    special = tokenizer.num_special_tokens_to_add(pair=paired)
    least = special + (2 if paired else 1)
    if max_length is not None and max_length < least:
        rule = f"{special} of a row are the tokenizer's own, and {'each' if paired else 'the'} text needs one"
        raise UserError.of("dataset.max_length", f"is {max_length}, but must be at least {least}: {rule}")
