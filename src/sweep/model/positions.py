"""How many tokens a row may have, by what the architecture's position embeddings take."""

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
    """The least of what the config says and what each table of learnt positions takes; None where neither limits.

    Tables keep some rows for other things: RoBERTa and its kin count from behind the padding's id, so that 514 rows take
    512 tokens; BART and OPT leave out two. `trusted` allows an architecture with code of its own. Rotary and relative
    positions are limited by the config alone.
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
    """The modules of the model without its head, on the meta device; none of one that cannot be built, which is told
    where the model itself is."""
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
