"""How the rows of a batch are padded, so that no row's score depends on the others.

On the right, behind the tokens: positions then count from a text's beginning, causal attention never sees the padding,
and a head finds the first or the last token where it looks for it. Some tokenizers pad on the left, as generating wants
it; with absolute positions that moves a text to other positions, by as much as the longest row of its batch is longer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sweep.data.tokenise import PADDED_IN_FULL

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

Padding = Literal["right", "left", "full"]

# What reads padding as if it were text (a Fourier transform, convolutions, landmarks, hashes, strides) always has to read
# the same amount of it.
_FULL = frozenset(("canine", "convbert", "fnet", "nystromformer", "yoso"))
_MASK = "attention_mask"
_SUMMARISED = frozenset(("flaubert", "xlm", "xlnet"))  # heads that pool by `summary_type`, whatever the mask is


def padding_of(config: PreTrainedConfig) -> Padding | None:
    """`full` is to the length limit, whatever the batch. None of an architecture with code of its own, which is not
    known here: its tokenizer says it."""
    if not type(config).__module__.startswith("transformers.models."):
        return None
    if config.model_type in _SUMMARISED:
        match getattr(config, "summary_type", "last"):
            case "first":
                return "right"
            case "mean" | "attn":
                return "full"
            case _:
                return "left" if config.model_type == "xlnet" else "full"  # the last position
    return "full" if config.model_type in _FULL else "right"


def set_padding(tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig) -> None:
    """Make the tokenizer pad as the architecture wants it, and give the mask that says where; saved, it goes on doing so."""
    padding = padding_of(config)
    if padding is None:
        return
    tokenizer.padding_side = "left" if padding == "left" else "right"
    names = tokenizer.model_input_names
    if _MASK not in names and config.model_type != "fnet":  # which takes none
        tokenizer.model_input_names = [*names, _MASK]
        tokenizer.init_kwargs["model_input_names"] = tokenizer.model_input_names
    tokenizer.init_kwargs["padding_side"] = tokenizer.padding_side
    if padding == "full":
        tokenizer.init_kwargs[PADDED_IN_FULL] = True
