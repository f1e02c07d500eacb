"""The configurations of the methods: the settings that differ, and those that are the same for
all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sweep.analysis.comparison.comparison import Comparison
from sweep.config.schema import Config

# Shown although all methods may share them: what a reader looks for first.
_ALWAYS = (
    "model.path", "adapter.method", "adapter.quantization", "adapter.r", "adapter.lora_alpha", "adapter.lora_dropout",
    "adapter.target_modules", "adapter.feedforward_modules",
)  # fmt: skip
_GROUPS = ("model", "adapter", "prompt", "optimizer", "trainer")


@dataclass(frozen=True, slots=True)
class Setting:
    """A value for each method, None where it has none; `searched` says for each whether the search
    found it."""

    key: str
    values: tuple[object, ...]
    searched: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Settings:
    """`shown` are the settings that differ, were searched or are the main ones; `shared` holds the
    others, which all have."""

    shown: tuple[Setting, ...]
    shared: Mapping[str, object]


def settings(comparison: Comparison) -> Settings:
    """Return the settings of all methods."""
    found = comparison.methods
    flat = [_flat(one.config) for one in found]
    shown: list[Setting] = []
    shared: dict[str, object] = {}
    for key in dict.fromkeys([*_ALWAYS, *(key for one in flat for key in one)]):
        values = tuple(one.get(key) for one in flat)
        searched = tuple(_searched(key, one.final.params) for one in found)
        same = all(value == values[0] and type(value) is type(values[0]) for value in values)
        if not same or (values[0] is not None and (key in _ALWAYS or any(searched))):
            shown.append(Setting(key, values, searched))
        elif values[0] is not None:
            shared[key] = values[0]
    return Settings(tuple(shown), shared)


def _flat(config: Config) -> dict[str, object]:
    tree = config.model_dump(mode="json")
    found: dict[str, object] = {}
    for group in _GROUPS:
        _spread(group, tree[group], found)
    return found


def _spread(key: str, part: object, found: dict[str, object]) -> None:
    if isinstance(part, Mapping):
        for name, inner in part.items():
            _spread(f"{key}.{name}", inner, found)
    elif part is not None:
        found[key] = part


def _searched(key: str, params: Mapping[str, object]) -> bool:
    """Return whether the key was searched. A searched group (`adapter`) brings all of its
    settings."""
    return any(key == name or key.startswith(f"{name}.") for name in params)
