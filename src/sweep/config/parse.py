"""A plain mapping → `Config`, naming everything that is wrong with it at once."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from sweep.config.schema import Config, Section
from sweep.errors import Fault, UserError, closest

Origin = Callable[[str], str]

_SUBJECT = re.compile(r"^\w+ should ")  # how pydantic begins a rule
_FINITE = "a finite number"  # its rule for NaN and infinity, which says it all where a union has others too


def parse(tree: Mapping[str, Any], origin: Origin) -> tuple[Config, list[Fault]]:
    """The config with each faulty value replaced by its default, so that later checks can look for more faults."""
    left = copy.deepcopy(dict(tree))
    faults = [Fault(fault.path, fault.message, origin(fault.path)) for fault in _foreign(left, "")]
    for fault in faults:
        _remove(left, fault.path.split("[")[0])
    while True:
        try:
            config = Config.model_validate_json(json.dumps(left))
        except ValidationError as error:
            found = _faults(error, origin)
            faults += found
            removed = [_remove(left, fault.path) for fault in found]
            if not any(removed):
                raise UserError(faults) from None
        else:
            return config, faults


def section(path: str) -> type[Section] | None:
    """The schema class at a dotted key, None where the key is a plain value or is not known at all."""
    found: type[Section] | None = Config
    for name in path.split("."):
        if found is None or name not in found.model_fields:
            return None
        found = _section_of(found.model_fields[name].annotation)
    return found


def is_key(path: str) -> bool:
    parent, _, name = path.rpartition(".")
    owner = section(parent) if parent else Config
    return owner is not None and name in owner.model_fields


def keys() -> tuple[str, ...]:
    """Every dotted key that holds a value."""
    return tuple(_keys(Config, ""))


def _keys(owner: type[Section], prefix: str) -> Iterable[str]:
    for name, info in owner.model_fields.items():
        inner = _section_of(info.annotation)
        if inner is None:
            yield prefix + name
        else:
            yield from _keys(inner, f"{prefix}{name}.")


def _section_of(annotation: Any) -> type[Section] | None:
    candidates = (annotation, *get_args(annotation))
    return next((kind for kind in candidates if isinstance(kind, type) and issubclass(kind, Section)), None)


def _faults(error: ValidationError, origin: Origin) -> list[Fault]:
    """One fault a key: a union reports each of its members, which read better as one rule."""
    rules: dict[str, list[str]] = {}
    values: dict[str, Any] = {}
    near: dict[str, str] = {}
    for found in error.errors():
        path, rest = _known_part(found["loc"])
        if found["type"] == "extra_forbidden" and not any(isinstance(part, int) for part in found["loc"]):
            path = ".".join(map(str, found["loc"]))
            rules[path] = [_unknown(path)]
            continue
        if found["type"] == "missing":
            rules[path] = ["is missing, and must be given"]
            continue
        values.setdefault(path, found["input"])
        element = f" (element {rest[0]})" if rest and isinstance(rest[0], int) else ""
        rule = _SUBJECT.sub("", found["msg"]).removeprefix("be ").partition(" after validation")[0]
        near[path] = near.get(path) or _nearest(found)
        rules.setdefault(path, []).append(rule + element)
    return [Fault(path, _rule(path, texts, values) + near.get(path, ""), origin(path)) for path, texts in rules.items()]


def _nearest(found: ErrorDetails) -> str:
    """The name that a text was probably meant to be, of those that a choice has."""
    if found["type"] != "literal_error" or not isinstance(found["input"], str):
        return ""
    given, names = found["input"], re.findall("'([^']*)'", found["ctx"]["expected"])
    longer = [name for name in names if given and name.startswith(given)]
    return closest(given, names) if not longer else f" (did you mean {longer[0]}?)"


def _rule(path: str, texts: list[str], values: dict[str, Any]) -> str:
    if path not in values:
        return texts[0]
    texts = [text for text in texts if text.startswith(_FINITE)] or texts
    be = "" if texts[0].startswith("have ") else "be "
    return f"is {json.dumps(values[path])}, but must {be}{' or '.join(dict.fromkeys(texts))}"


def _known_part(location: tuple[int | str, ...]) -> tuple[str, tuple[int | str, ...]]:
    """Split a pydantic location into the config key and what comes after it (an index, a member of a union)."""
    owner: type[BaseModel] | None = Config
    names: list[str] = []
    for name in location:
        if owner is None or name not in owner.model_fields:
            break
        names.append(str(name))
        owner = _section_of(owner.model_fields[str(name)].annotation)
    return ".".join(names), location[len(names) :]


def _unknown(path: str) -> str:
    if path == "experiment":
        return "is not a config key; does the experiment's file begin with the line '# @package _global_'?"
    parent, _, name = path.rpartition(".")
    owner = section(parent) if parent else Config
    allowed = tuple(owner.model_fields) if owner else ()
    return f"is not a config key{closest(name, allowed)}; {parent or 'the top level'} has: {', '.join(allowed)}"


def _remove(tree: dict[Any, Any], path: str) -> bool:
    """Take out a value, or, where one is missing that must be there, the section that needs it. False where nothing was found.

    A key of a file may hold dots itself, or be a number or a truth value, which JSON writes as a text.
    """
    for key, value in tree.items():
        name = key if isinstance(key, str) else json.dumps(key)
        within = path.startswith(f"{name}.")
        if path == name or (within and not _removed_within(value, path[len(name) + 1 :])):
            del tree[key]
            return True
        if within:
            return True
    return False


def _removed_within(value: Any, path: str) -> bool:
    return isinstance(value, dict) and _remove(value, path)


def _foreign(value: Any, path: str) -> Iterable[Fault]:
    """Values that only YAML's tags give, such as bytes and sets: no config key takes one."""
    match value:
        case dict():
            for key, inner in value.items():
                yield from _foreign(inner, f"{path}.{key}" if path else str(key))
        case list() | tuple():
            for index, inner in enumerate(value):
                yield from _foreign(inner, f"{path}[{index}]")
        case str():
            if any("\ud800" <= letter <= "\udfff" for letter in value):
                yield Fault(path, f"is {value!a}, which holds half of a character (a surrogate)")
        case None | int() | float():
            pass
        case _:
            yield Fault(path, f"is {value!r}, but must be a number, a text, true, false, null, a list or a mapping")
