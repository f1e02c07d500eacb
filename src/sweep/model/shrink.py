"""A smaller model of the same architecture: fewer layers, less width, fewer heads, a smaller
vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from math import gcd
from typing import TYPE_CHECKING, Any

from sweep.config.schema import ShrinkConfig
from sweep.errors import Fault, UserError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# transformers maps these common names to those of each architecture (GPT-2: n_layer, DistilBERT:
# dim).
_COMMON = {
    "layers": "num_hidden_layers",
    "width": "hidden_size",
    "heads": "num_attention_heads",
    "vocabulary": "vocab_size",
}
_SHARED = frozenset(("width", "heads"))  # sizes that must fit each other
_FEED_FORWARD = ("intermediate_size", "n_inner", "hidden_dim", "ffn_dim")  # names that transformers does not map
_TOKEN_IDS = ("bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "cls_token_id", "decoder_start_token_id")


def shrunk(config: PreTrainedConfig, shrink: ShrinkConfig, build: Callable[..., PreTrainedConfig]) -> PreTrainedConfig:
    """Return a smaller config. `build` makes the config anew with other values, so that derived
    values are computed again. Raises UserError with every rule that is broken: no size is above
    the model's own, and the heads divide the width."""
    wanted = {name: value for name, value in shrink.model_dump().items() if value is not None}
    if not wanted:
        return config
    faults = [fault for name, value in wanted.items() for fault in _size_faults(config, name, value)]
    if not {f"model.shrink.{name}" for name in _SHARED} & {fault.path for fault in faults}:
        faults += _head_faults(config, wanted)
    if faults:
        raise UserError(faults)
    return build(**_changes(config, wanted))


def _size_faults(config: PreTrainedConfig, name: str, value: int) -> Iterator[Fault]:
    whole = getattr(config, _COMMON[name], None)
    if not isinstance(whole, int):
        yield Fault(
            f"model.shrink.{name}", f"is {value}, but the config of a {config.model_type} model has no such size"
        )
    elif value > whole:
        yield Fault(f"model.shrink.{name}", f"is {value}, but must be at most {whole}, which the whole model has")


def _head_faults(config: PreTrainedConfig, wanted: dict[str, int]) -> Iterator[Fault]:
    """Return the faults of the requested heads. A config that does not mention heads has none to
    divide the width."""
    if not _SHARED & wanted.keys() or not hasattr(config, _COMMON["heads"]):
        return
    width, heads, each = _head_sizes(config, wanted)
    rule = f"a width of {width} over {heads} heads gives {float(each):g} to each head"
    turned = _rotated(config, int(each))
    if each.denominator != 1:
        rule += ", which must be a whole number"
    elif turned is not None and (turned < 2 or turned % 2):
        rule += f", of which rotary embeddings turn {turned}: it must be an even number from 2 on"
    else:
        return
    for name in sorted(_SHARED & wanted.keys()):
        yield Fault(f"model.shrink.{name}", f"is {wanted[name]}, but {rule}")


def _head_sizes(config: PreTrainedConfig, wanted: dict[str, int]) -> tuple[int, int, Fraction]:
    """Return width, heads, and the size of one head, which keeps its ratio to width over heads
    (Gemma 7B's is larger)."""
    whole_width, whole_heads = config.hidden_size, config.num_attention_heads
    width, heads = wanted.get("width", whole_width), wanted.get("heads", whole_heads)
    whole_each = getattr(config, "head_dim", None) or Fraction(whole_width, whole_heads)
    return width, heads, whole_each * Fraction(width, whole_width) * Fraction(whole_heads, heads)


def _rotated(config: PreTrainedConfig, each: int) -> int | None:
    """Return the dimensions of a head that rotary embeddings turn, in pairs; None where there are
    none."""
    rotary = getattr(config, "rope_parameters", None)
    if not isinstance(rotary, dict) or "rope_theta" not in rotary:
        return None
    return int(each * float(rotary.get("partial_rotary_factor", 1.0)))


def _changes(config: PreTrainedConfig, wanted: dict[str, int]) -> dict[str, Any]:
    own = type(config).attribute_map
    changes: dict[str, Any] = {own.get(_COMMON[name], _COMMON[name]): value for name, value in wanted.items()}
    if "width" in wanted:
        share = Fraction(wanted["width"], config.hidden_size)
        sizes = {name: getattr(config, name, None) for name in _FEED_FORWARD}
        changes |= {name: max(1, round(size * share)) for name, size in sizes.items() if isinstance(size, int)}
    if _SHARED & wanted.keys() and getattr(config, "head_dim", None):
        changes["head_dim"] = int(_head_sizes(config, wanted)[2])
    if "heads" in wanted and (groups := getattr(config, "num_key_value_heads", None)):
        shared = max(1, groups * wanted["heads"] // config.num_attention_heads)
        changes["num_key_value_heads"] = gcd(shared, wanted["heads"])
    if "layers" in wanted and (kinds := getattr(config, "layer_types", None)):
        changes["layer_types"] = list(kinds[: wanted["layers"]])
    if "vocabulary" in wanted:
        ids = {name: getattr(config, name, None) for name in _TOKEN_IDS}
        changes |= {name: None for name, value in ids.items() if _beyond(value, wanted["vocabulary"])}
    return changes


def _beyond(value: Any, vocabulary: int) -> bool:
    values = value if isinstance(value, list) else [value]
    return any(isinstance(one, int) and one >= vocabulary for one in values)
