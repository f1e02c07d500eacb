"""Which modules an adapter goes to: as named, by PEFT's table for the architecture, or by what the model looks like."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from peft.utils.constants import (
    TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING as IA3_FEEDFORWARD,
)
from peft.utils.constants import (
    TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING as IA3_TARGETS,
)
from peft.utils.constants import (
    TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as LORA_TARGETS,
)
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from sweep.config.schema import AdapterConfig
from sweep.errors import Fault, UserError, closest

TARGETS_KEY = "adapter.target_modules"
FEEDFORWARD_KEY = "adapter.feedforward_modules"
ALL_LINEAR = "all-linear"

# Attention layouts of architectures that PEFT's tables do not name, in the order they are looked for.
_LORA_LAYOUTS = (
    ("q_proj", "v_proj"),
    ("query", "value"),
    ("q_lin", "v_lin"),
    ("query_proj", "value_proj"),
    ("query_key_value",),
    ("qkv_proj",),
    ("Wqkv",),
    ("c_attn",),
    ("q", "v"),
)
# Keys, values and the second feed-forward layer, as in Liu et al. 2022 (arXiv 2205.05638); the last is scaled at input.
_IA3_LAYOUTS = (
    ("k_proj", "v_proj", "down_proj"),
    ("k_proj", "v_proj", "fc2"),
    ("key", "value", "output.dense"),
    ("key", "value", "ffn_output"),
    ("k_lin", "v_lin", "ffn.lin2"),
    ("key_proj", "value_proj", "output.dense"),
    ("query_key_value", "dense_4h_to_h"),
    ("qkv_proj", "down_proj"),
    ("Wqkv", "mlp.Wo"),
    ("c_attn", "mlp.c_proj"),
    ("k", "v", "output.dense"),
    ("k", "v", "wo"),
)


@dataclass(frozen=True, slots=True)
class Targets:
    """`modules` as PEFT takes them: endings, a regular expression, or all-linear; `matched` are the full names."""

    modules: list[str] | str
    feedforward: list[str]
    matched: tuple[str, ...]


def find_targets(model: PreTrainedModel, adapter: AdapterConfig, head: Sequence[str]) -> Targets:
    """Raises UserError for endings that no layer of the headless model has, for feed-forward modules that are no
    targets, and where nothing is named and no default is known."""
    layers = _layers(model, head)
    table = LORA_TARGETS if adapter.method == "lora" else IA3_TARGETS
    named = adapter.target_modules
    if named is None:
        modules, feedforward = _default(model.config.model_type, adapter.method, table, layers)
    elif named == ALL_LINEAR:
        modules, feedforward = ALL_LINEAR, []
    else:
        modules, feedforward = list(named), _known_feedforward(model.config.model_type, named)
    if adapter.feedforward_modules is not None:
        feedforward = list(adapter.feedforward_modules)
    faults = _target_faults(modules, layers) + _feedforward_faults(modules, feedforward, layers)
    if faults:
        raise UserError(faults)
    return Targets(modules, feedforward, tuple(name for name in layers if _matches(modules, name)))


def _layers(model: nn.Module, head: Sequence[str]) -> tuple[str, ...]:
    """Full names of the layers that an adapter can go to: linear ones, GPT-2's and 4-bit ones too, outside the head."""
    inside = tuple(f"{part}." for part in head)
    linear = (name for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D))
    return tuple(name for name in linear if not f"{name}.".startswith(inside))


def _default(
    kind: str, method: str, table: Mapping[str, Sequence[str]], layers: Sequence[str]
) -> tuple[list[str] | str, list[str]]:
    entry = table.get(kind)
    known = list(entry) if entry is not None and not isinstance(entry, str) else entry
    if known is not None and not _unmatched(known, layers):
        return known, (list(IA3_FEEDFORWARD.get(kind, ())) if method == "ia3" else [])
    layouts = _LORA_LAYOUTS if method == "lora" else _IA3_LAYOUTS
    for layout in layouts:
        if not _unmatched(list(layout), layers):
            return list(layout), (list(layout[-1:]) if method == "ia3" else [])
    rule = f"must be given: no default is known for {kind}; its linear layers end with {_endings(layers)}"
    raise UserError.of(TARGETS_KEY, rule)


def _known_feedforward(kind: str, named: Sequence[str]) -> list[str]:
    candidates = {*IA3_FEEDFORWARD.get(kind, ()), *(layout[-1] for layout in _IA3_LAYOUTS)}
    return [name for name in named if name in candidates]


def _target_faults(modules: list[str] | str, layers: Sequence[str]) -> list[Fault]:
    return [Fault(TARGETS_KEY, _not_there(name, layers)) for name in _unmatched(modules, layers)]


def _feedforward_faults(modules: list[str] | str, feedforward: Sequence[str], layers: Sequence[str]) -> list[Fault]:
    if modules == ALL_LINEAR:
        return [Fault(FEEDFORWARD_KEY, _not_there(name, layers)) for name in _unmatched(list(feedforward), layers)]
    allowed = ", ".join(modules)
    return [
        Fault(FEEDFORWARD_KEY, f"holds {name}, but must be part of {TARGETS_KEY}: {allowed}")
        for name in feedforward
        if name not in modules
    ]


def _not_there(name: str, layers: Sequence[str]) -> str:
    endings = _ending_set(layers)
    return f"holds {name}, but no linear layer of the model ends so{closest(name, endings)}; they end with {_endings(layers)}"


def _unmatched(modules: list[str] | str, layers: Sequence[str]) -> list[str]:
    if modules == ALL_LINEAR:
        return []
    if isinstance(modules, str):
        return [] if any(_matches(modules, layer) for layer in layers) else [modules]
    return [name for name in modules if not any(_matches([name], layer) for layer in layers)]


def _matches(modules: list[str] | str, layer: str) -> bool:
    if modules == ALL_LINEAR:
        return True
    if isinstance(modules, str):
        return re.fullmatch(modules, layer) is not None
    return any(layer == name or layer.endswith(f".{name}") for name in modules)


def _ending_set(layers: Sequence[str]) -> list[str]:
    return sorted({layer.rpartition(".")[2] for layer in layers})


def _endings(layers: Sequence[str]) -> str:
    return ", ".join(_ending_set(layers)) or "nothing, for there are none"
