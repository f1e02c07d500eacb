"""The keys of the config, by their dotted names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sweep.config import adapter as adapters
from sweep.config.adapter import AdapterConfig
from sweep.config.schema import Config
from sweep.config.section import Section


def section(path: str) -> type[Section] | None:
    """Return the schema class at a dotted key; None for a plain value and for an unknown key."""
    found: type[Section] | None = Config
    for name in path.split("."):
        if found is None or name not in fields_of(found):
            return None
        found = section_of(fields_of(found)[name].annotation)
    return found


def is_key(path: str) -> bool:
    """Return whether a dotted key is one of the schema's."""
    return field_of(path) is not None


def keys() -> tuple[str, ...]:
    """Return every dotted key that holds a value."""
    return tuple(_keys(Config, ""))


def field_of(path: str) -> FieldInfo | None:
    """Return the field at a dotted key; None for an unknown key."""
    parent, _, name = path.rpartition(".")
    owner = section(parent) if parent else Config
    return None if owner is None else fields_of(owner).get(name)


def fields_of(owner: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """Return the keys of a section; those of `adapter` are the keys of all methods."""
    if owner is AdapterConfig:
        return {name: info for kind in adapters.known().values() for name, info in kind.model_fields.items()}
    return owner.model_fields


def section_of(annotation: Any) -> type[Section] | None:
    """Return the schema class that the type of a key is or holds; None for a plain value."""
    candidates = (annotation, *get_args(annotation))
    return next((kind for kind in candidates if isinstance(kind, type) and issubclass(kind, Section)), None)


def _keys(owner: type[Section], prefix: str) -> Iterable[str]:
    for name, info in fields_of(owner).items():
        inner = section_of(info.annotation)
        if inner is None:
            yield prefix + name
        else:
            yield from _keys(inner, f"{prefix}{name}.")
