"""The end mark of encoder-decoders, whose classification heads read the decoder's state at the
last mark of a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

# Their classes stop at a batch whose rows hold different numbers of end marks.
_READ_AT_IT = frozenset(("bart", "bigbird_pegasus", "led", "mbart", "mt5", "mvp", "plbart", "t5", "umt5"))


def end_mark(config: PreTrainedConfig) -> int | None:
    """Return the id that the head looks for; None if it looks for none."""
    mark = config.eos_token_id if config.model_type in _READ_AT_IT else None
    return mark[0] if isinstance(mark, list) else mark


def read_marks_as_text(tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig) -> PreTrainedTokenizerBase:
    """Return a tokenizer that reads special tokens in a text as plain text, if the head reads the
    end mark; otherwise return the tokenizer unchanged.

    Every row then holds one end mark, which the tokenizer adds. Texts without special tokens give
    the same ids as before. The tokenizer keeps this behaviour when it is saved and loaded.
    """
    mark = end_mark(config)
    if mark is None:
        return tokenizer
    tokenizer.split_special_tokens = True
    tokenizer.init_kwargs["split_special_tokens"] = True
    spelt = tokenizer.convert_ids_to_tokens(mark)
    if tokenizer.is_fast and isinstance(spelt, str) and mark in _ids(tokenizer, f"a {spelt} a"):
        return _parting(tokenizer, spelt)
    return tokenizer


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    found: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return found


def _parting(tokenizer: PreTrainedTokenizerBase, spelt: str) -> PreTrainedTokenizerBase:
    """Return a tokenizer that puts a space into the mark before it splits a text: a vocabulary of
    words or pieces would otherwise find the mark in it. The class is the general one, since T5's
    builds its normaliser anew at each load."""
    from tokenizers import Tokenizer, normalizers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    parted = normalizers.Replace(spelt, f"{spelt[0]} {spelt[1:]}")
    rest = [] if backend.normalizer is None else [backend.normalizer]
    backend.normalizer = normalizers.Sequence([parted, *rest])
    kept = ("model_max_length", "model_input_names", "truncation_side", "padding_side", "split_special_tokens")
    settings = {name: getattr(tokenizer, name) for name in kept}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **tokenizer.special_tokens_map, **settings)  # type: ignore[no-untyped-call]
