"""The tokenizer of a model, with a pad token and the model's own length limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sweep.config.schema import ModelConfig
from sweep.errors import UserError
from sweep.model.architecture import read_config
from sweep.model.checkpoint import KEY, Checkpoint, first_line, locate
from sweep.model.paths import resolve

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

_POSITIONS = ("max_position_embeddings", "n_positions", "max_sequence_length")


def load_tokenizer(model: ModelConfig, checkpoint: Checkpoint | None = None) -> PreTrainedTokenizerBase:
    """Raises UserError if the model cannot be reached or has no tokenizer that can be loaded.

    Where there is no pad token, or one that the embeddings do not cover, the end-of-text token pads. `model_max_length`
    is at most the number of positions that the model has.
    """
    from transformers import AutoTokenizer

    found = checkpoint or locate(resolve(model.path), model.revision)
    config = read_config(model, found)
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            found.location, revision=found.revision, trust_remote_code=model.trust_remote_code
        )
    except (OSError, ValueError, ImportError, KeyError, TypeError) as error:
        raise UserError.of(KEY, f"is {model.path}, but its tokenizer cannot be loaded: {first_line(error)}") from None
    if len(tokenizer) <= len(tokenizer.all_special_tokens):  # what transformers makes up where the files are missing
        raise UserError.of(KEY, f"is {model.path}, but its tokenizer has no vocabulary: are its files there?")
    _set_padding(tokenizer, config, model.path)
    text = config.get_text_config()
    positions = [value for name in _POSITIONS if isinstance(value := getattr(text, name, None), int) and value > 0]
    tokenizer.model_max_length = min(tokenizer.model_max_length, *positions, 10**9)
    return tokenizer


def _set_padding(tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig, path: str) -> None:
    vocabulary = getattr(config.get_text_config(), "vocab_size", None) or len(tokenizer)
    if tokenizer.pad_token_id is not None and tokenizer.pad_token_id < vocabulary:
        return
    if tokenizer.eos_token is None or tokenizer.eos_token_id >= vocabulary:
        rule = f"is {path}, but its tokenizer has neither a pad token nor an end-of-text token that could pad"
        raise UserError.of(KEY, rule)
    tokenizer.pad_token = tokenizer.eos_token
