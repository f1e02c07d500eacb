"""A tokenizer that needs no files: one token a byte of UTF-8."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, BOS, EOS = "<pad>", "<bos>", "<eos>"


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer of 259 tokens: pad, begin, end, and the bytes in order. A text starts
    with `BOS`; a pair has `EOS` between its texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokens = [PAD, BOS, EOS, *_byte_letters()]
    made = Tokenizer(models.BPE({token: index for index, token in enumerate(tokens)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    made.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {EOS} $B", special_tokens=[(BOS, 1), (EOS, 2)]
    )
    special = {"pad_token": PAD, "bos_token": BOS, "eos_token": EOS}
    return PreTrainedTokenizerFast(tokenizer_object=made, **special)  # type: ignore[no-untyped-call]


def _byte_letters() -> list[str]:
    """Return the letter for each byte in byte-level vocabularies, as in GPT-2: printable Latin-1
    stands for itself, the others start at U+0100."""
    plain = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = (chr(256 + index) for index in range(256))
    return [chr(byte) if byte in plain else next(others) for byte in range(256)]
