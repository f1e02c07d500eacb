"""The number of tokens that a row may have, by the position embeddings of the architecture."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sweep.model.quiet import quiet

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

_NAMES = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len")
_TABLES = re.compile(r"(?:^|\.)(?:position_embeddings?|embed_positions|positions_embed|wpe|pos_embed(?:dings?)?)$")
_OF_OTHER_THINGS = re.compile(r"entity|box|layout|relative")  # that have positions beside the tokens


def position_limit(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase, *, trusted: bool) -> int | None:
    """Return the least of the config's limit and the size of each table of learnt positions; None
    where neither limits.

    Tables keep some rows for other uses: RoBERTa counts from the id of the pad token, so that 514
    rows take 512 tokens; BART and OPT leave out two. `trusted` allows an architecture with code of
    its own. Rotary and relative positions are limited by the config alone.
    """
    text = config.get_text_config()
    said = [value for name in _NAMES if isinstance(value := getattr(text, name, None), int) and value > 0]
    if getattr(text, "rope_parameters", None):
        return min(said, default=None)
    return min([*said, *_tables(config, tokenizer.pad_token_id, trusted=trusted)], default=None)


def _tables(config: PreTrainedConfig, pad_token_id: int | None, *, trusted: bool) -> Iterator[int]:
    for name, table in _headless(config, pad_token_id, trusted=trusted):
        rows = getattr(getattr(table, "weight", None), "shape", (0,))[0]
        behind, kept = getattr(table, "padding_idx", None), getattr(table, "offset", 0)
        if _TABLES.search(name) and not _OF_OTHER_THINGS.search(name) and rows:
            yield rows - (kept if behind is None else behind + 1)


def _headless(config: PreTrainedConfig, pad_token_id: int | None, *, trusted: bool) -> list[tuple[str, nn.Module]]:
    """Return the headless model's modules on the meta device; empty if it cannot be built, which
    is reported elsewhere."""
    import torch
    from transformers import AutoModel

    plain: Any = copy.deepcopy(config)
    if plain.pad_token_id is None:
        plain.pad_token_id = pad_token_id
    try:
        with torch.device("meta"), quiet():
            return list(AutoModel.from_config(plain, trust_remote_code=trusted).named_modules())  # type: ignore[no-untyped-call]
    except (ImportError, OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, AssertionError):
        return []
