"""The side and the mask of padding, chosen so that no row's score depends on the other rows.

Padding is on the right, behind the tokens: positions then count from the beginning of a text,
causal attention never sees the padding, and a head finds the first or the last token where it
looks for it. Some tokenizers pad on the left, for generation; with absolute positions that shifts
a text by the number of pad tokens in front of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sweep.data.tokenise import PADDED_IN_FULL

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

Padding = Literal["right", "left", "full"]

# Architectures that read padding as if it were text (a Fourier transform, convolutions, landmarks,
# hashes, strides) must always read the same amount of it.
_FULL = frozenset(("canine", "convbert", "fnet", "nystromformer", "yoso"))
_MASK = "attention_mask"
_SUMMARISED = frozenset(("flaubert", "xlm", "xlnet"))  # heads that pool by `summary_type`, whatever the mask is


def padding_of(config: PreTrainedConfig) -> Padding | None:
    """Return the padding of an architecture; `full` pads to the length limit, whatever the batch.
    None for an architecture with code of its own, whose tokenizer decides."""
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
    """Make the tokenizer pad as the architecture wants it, and give the attention mask with the
    ids. A saved tokenizer keeps these settings."""
    padding = padding_of(config)
    if padding is None:
        return
    tokenizer.padding_side = "left" if padding == "left" else "right"
    names = tokenizer.model_input_names
    if _MASK not in names and config.model_type != "fnet":  # fnet takes no mask
        tokenizer.model_input_names = [*names, _MASK]
        tokenizer.init_kwargs["model_input_names"] = tokenizer.model_input_names
    tokenizer.init_kwargs["padding_side"] = tokenizer.padding_side
    if padding == "full":
        tokenizer.init_kwargs[PADDED_IN_FULL] = True
