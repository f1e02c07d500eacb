"""A composed config, and others that differ from it in a few values."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sweep.config.hints import mapping_hint
from sweep.config.keys import section
from sweep.config.schema import Config
from sweep.errors import Fault, UserError, first_line

_OF_NO_KEY = "${conf_dir:}"  # an interpolation that depends on no key
_OF_A_KEY = re.compile(r"\$\{([A-Za-z_][\w.]*)\}")
_OF_NAMES = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")  # keys without places of lists
_MARK = re.compile(r"(\\*)\$\{")  # the beginning of an interpolation, with backslashes that escape it
_MISSING = "???"  # to OmegaConf, a value that has to be given


@dataclass(frozen=True)
class Tree:
    """The config that Hydra composed, and what is made of it once for all trials."""

    config: DictConfig

    @cached_property
    def copied(self) -> bytes:
        """Return the config as bytes: `copy.deepcopy` takes six times as long."""
        return pickle.dumps(self.config)

    @cached_property
    def plain(self) -> bytes:
        """Return the config with interpolations filled in, as the bytes of a plain mapping."""
        return pickle.dumps(_resolved(self.config))

    @cached_property
    def missing(self) -> tuple[str, ...]:
        """Return the keys whose values have to be given, as OmegaConf marks them."""
        return tuple(place for place, text in _texts(OmegaConf.to_container(self.config)) if text == _MISSING)

    @cached_property
    def named(self) -> frozenset[str] | None:
        """Return the keys that interpolations name; None where one may depend on others."""
        texts = [text.replace(_OF_NO_KEY, "") for _, text in _texts(OmegaConf.to_container(self.config))]
        if any("${" in _OF_A_KEY.sub("", text) for text in texts):
            return None
        return frozenset(name for text in texts for name in _OF_A_KEY.findall(text))


@dataclass(frozen=True)
class Composed:
    """A composed config.

    It is `base` with the values of `changes` by their keys; `choices` maps each config group to
    the option taken.
    """

    base: Tree
    choices: Mapping[str, str]
    changes: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def tree(self) -> DictConfig:
        """Return the config, which keeps interpolations."""
        if not self.changes:
            return self.base.config
        tree: DictConfig = pickle.loads(self.base.copied)
        for key, value in self.changes.items():
            OmegaConf.update(tree, key, value)
        return tree

    def value(self, key: str) -> Any:
        """Return the value of a key, with interpolations filled in; None where there is none."""
        if key in self.changes and (self._are_plain or not isinstance(self.changes[key], str)):
            return self.changes[key]
        return OmegaConf.select(self.base.config if self._are_plain else self.tree, key)

    def updated(self, values: Mapping[str, Any]) -> Composed:
        """Return the config with other values, as overrides of plain keys would set them.

        The option of a config group cannot be set here: it has to be composed again.
        """
        return replace(self, changes={**self.changes, **values})

    def resolved(self) -> dict[str, Any]:
        """Return the config as a plain mapping, with interpolations filled in.

        Raises UserError where an interpolation names nothing, and for a value that is `???`.
        """
        if missing := [key for key in self.base.missing if key not in self.changes]:
            rule = f"is {_MISSING}, which stands for a value that must be given; type"
            raise UserError([Fault(key, f"{rule} {key}=VALUE") for key in missing])
        if not self.changes or not self._are_plain:
            return _resolved(self.tree)
        found: dict[str, Any] = pickle.loads(self.base.plain)
        for key, value in self.changes.items():
            *path, name = key.split(".")
            parent: Any = found
            for part in path:
                if isinstance(parent.get(part), list):
                    return _resolved(self.tree)
                if not isinstance(parent.get(part), dict):
                    parent[part] = {}
                parent = parent[part]
            parent[name] = value
        return found

    @cached_property
    def _are_plain(self) -> bool:
        """Return whether the changed values may be set in the resolved base: no interpolation is
        among them or depends on them, none is a list or a mapping, and no key has a
        place in a list."""
        named = self.base.named
        if named is None:
            return False
        for key, value in self.changes.items():
            if not isinstance(value, bool | int | float | str | None) or not _OF_NAMES.fullmatch(key):
                return False
            if isinstance(value, str) and ("${" in value or value == _MISSING):
                return False
            if any(f"{name}.".startswith(f"{key}.") or key.startswith(f"{name}.") for name in named):
                return False
        return True


def _resolved(tree: DictConfig) -> dict[str, Any]:
    try:
        found = OmegaConf.to_container(tree, resolve=True)
    except OmegaConfBaseException as error:
        empty = [name for name in _sections() if name in tree and OmegaConf.select(tree, name) is None]
        if empty:  # interpolations name their keys
            raise UserError(
                [Fault(name, f"is null, but must be a mapping{mapping_hint(name)}") for name in empty]
            ) from None
        raise UserError.of(str(error.full_key or ""), first_line(error)) from None
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


def literal(value: Any) -> Any:
    """Return a plain value as OmegaConf takes it: `${` in its texts begins no interpolation."""
    match value:
        case dict():
            return {key: literal(item) for key, item in value.items()}
        case list():
            return [literal(item) for item in value]
        case str():
            return _MARK.sub(lambda found: f"{found[1] * 2}\\${{", value)
        case _:
            return value


def _sections() -> Iterator[str]:
    """Yield the sections of the config that cannot be null."""
    return (name for name, field in Config.model_fields.items() if section(name) and field.get_default() is not None)


def _texts(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield each text in a plain value, with its dotted key."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, f"{place}[{index}]")
    elif isinstance(value, str):
        yield place, value
