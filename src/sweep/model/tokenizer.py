"""The tokenizer of a model, with a pad token and the model's own length limit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sweep.config.schema import ModelConfig
from sweep.errors import UserError, raise_if_out_of_memory
from sweep.model import config_json
from sweep.model.architecture import read_config
from sweep.model.byte_tokenizer import byte_tokenizer
from sweep.model.checkpoint import KEY, Checkpoint
from sweep.model.end_mark import read_marks_as_text
from sweep.model.padding import set_padding
from sweep.model.positions import position_limit
from sweep.model.source import find, tokenizer_checkpoint

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase


def load_tokenizer(model: ModelConfig, checkpoint: Checkpoint | None = None) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a model. Raises UserError if the model cannot be reached or has no
    tokenizer that loads.

    Without a pad token that the embeddings cover, the end-of-text token pads, on the side that the
    architecture wants (`sweep.model.padding`). An end mark in a text is text where the head reads
    one (`sweep.model.end_mark`). `model_max_length` is at most the number of positions of the
    model.
    """
    found = checkpoint or find(model)
    own = tokenizer_checkpoint(model)
    tokenizer = byte_tokenizer() if own is None and found.drawn else _read(model, own or found)
    _check_shrink(model, tokenizer)
    config = read_config(model, found)
    if own is not None or found.drawn:
        _check_ids(model, tokenizer, config)
    _set_pad_token(tokenizer, config, model)
    tokenizer = read_marks_as_text(tokenizer, config)
    set_padding(tokenizer, config)
    positions = position_limit(config, tokenizer, trusted=model.trust_remote_code)
    tokenizer.model_max_length = min(tokenizer.model_max_length, positions or 10**9)
    return tokenizer


def _read(model: ModelConfig, place: Checkpoint) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    key, said = _named(model)
    if (file := Path(place.location) / "config.json").is_file():  # transformers reads config.json for a tokenizer too
        config_json.check(file, key, model.tokenizer or model.path)
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            place.location, revision=place.revision, trust_remote_code=model.trust_remote_code
        )
    except Exception as error:  # a wrong value in a file may raise any error
        raise_if_out_of_memory(error)
        raise UserError.of(key, f"{said} cannot be loaded: {config_json.said(error)}") from None
    if len(tokenizer) <= len(tokenizer.all_special_tokens):  # transformers makes these up if the files are missing
        raise UserError.of(key, f"{said} has no vocabulary: are its files there?")
    return tokenizer


def _check_shrink(model: ModelConfig, tokenizer: PreTrainedTokenizerBase) -> None:
    needed = max(tokenizer.get_vocab().values()) + 1
    if model.shrink.vocabulary is not None and model.shrink.vocabulary < needed:
        rule = f"is {model.shrink.vocabulary}, but must be at least {needed}, which the tokenizer needs"
        raise UserError.of("model.shrink.vocabulary", rule)


def _check_ids(model: ModelConfig, tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig) -> None:
    """Check that the tokenizer fits the model. A tokenizer that was made with the model does."""
    highest, vocabulary = max(tokenizer.get_vocab().values()), int(config.get_text_config().vocab_size)
    if highest >= vocabulary:
        key, said = _named(model)
        raise UserError.of(key, f"{said} has ids up to {highest}, and the model's vocabulary ends at {vocabulary - 1}")


def _named(model: ModelConfig) -> tuple[str, str]:
    """Return the key that the tokenizer comes from, and the beginning of a message about it."""
    if model.tokenizer:
        return "model.tokenizer", f"is {model.tokenizer}, but it"
    return KEY, f"is {model.path}, but its tokenizer"


def _set_pad_token(tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig, model: ModelConfig) -> None:
    vocabulary = getattr(config.get_text_config(), "vocab_size", None) or len(tokenizer)
    if tokenizer.pad_token_id is not None and tokenizer.pad_token_id < vocabulary:
        return
    if tokenizer.eos_token is None or tokenizer.eos_token_id >= vocabulary:
        key, said = _named(model)
        raise UserError.of(key, f"{said} has neither a pad token nor an end-of-text token that could pad")
    tokenizer.pad_token = tokenizer.eos_token
