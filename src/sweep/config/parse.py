"""A plain mapping → `Config`, with every fault of its values."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import isfinite
from typing import Any

from pydantic import BaseModel, ValidationError

from sweep.config import adapter as adapters
from sweep.config.adapter import METHOD, WHOLE_RULE
from sweep.config.hints import KINDS, hint, meant, shown, unknown, value_at
from sweep.config.keys import fields_of, section_of
from sweep.config.limits import flat
from sweep.config.objective import two_objectives
from sweep.config.schema import Config
from sweep.errors import Fault, UserError

Origin = Callable[[str], str]

_SUBJECT = re.compile(r"^\w+ should ")  # how pydantic begins a rule
_FINITE = "a finite number"  # its rule for NaN and infinity; a union's other rules are left out beside it


def parse(tree: Mapping[str, Any], origin: Origin) -> tuple[Config, list[Fault]]:
    """Return the config with the default in place of each faulty value, and the faults.

    The defaults let later checks look for more faults. `origin` returns the place where the user
    set a key. Raises UserError where no default can replace a faulty value.
    """
    left = copy.deepcopy(dict(tree))
    if isinstance(study := left.get("study"), Mapping):
        left["study"] = two_objectives(study)
        if "limits" in study:
            left["study"] = {**left["study"], "limits": flat(study["limits"])}
    faults = [Fault(fault.path, fault.message, origin(fault.path)) for fault in _unusable_values(left, "")]
    for fault in faults:
        _remove(left, fault.path.split("[")[0])
    while True:
        try:
            config = Config.model_validate_json(json.dumps(left))
        except ValidationError as error:
            found = _faults(error, left, origin)
        else:
            found = [
                Fault(path, _rule(path, [_FINITE], {path: value}), origin(path)) for path, value in _infinite(left, "")
            ]
            if not found:
                return config, faults
        faults += found
        removed = [_remove(left, "adapter" if fault.path == METHOD else fault.path.split("[")[0]) for fault in found]
        if not any(removed):
            raise UserError(faults)


def _of_adapter(path: str, tree: Mapping[Any, Any], value: object) -> str:
    """Return what is wrong with a key that the adapter method of a config does not have."""
    name = path.rpartition(".")[2]
    return adapters.refused_key(_method(tree), name, value, meant(path))


def _method(tree: Mapping[Any, Any]) -> str:
    """Return the adapter method that a config names, or the default."""
    adapter = tree.get("adapter")
    method = adapter.get("method") if isinstance(adapter, Mapping) else None
    return method if isinstance(method, str) else adapters.DEFAULT


def _faults(error: ValidationError, tree: Mapping[str, Any], origin: Origin) -> list[Fault]:
    """Return one fault a key: a union reports each of its members, which read better as one rule.

    `tree` is what was validated.
    """
    rules: dict[str, list[str]] = {}
    values: dict[str, Any] = {}
    near: dict[str, str] = {}
    elements: dict[str, str] = {}  # the first wrong element of a list, in words
    members: set[str] = set()  # keys of a union, whose other members may hold the fault further within
    for found in error.errors():
        path, rest = _known_part(found["loc"])
        if found["type"] == "extra_forbidden" and not any(isinstance(part, int) for part in found["loc"]):
            path = ".".join(map(str, found["loc"]))
            foreign = path.rpartition(".")[0] == "adapter"
            rules[path] = [_of_adapter(path, tree, found["input"]) if foreign else unknown(path)]
            continue
        if found["type"] == WHOLE_RULE:
            rules[path] = [found["msg"]]
            continue
        if found["type"] == "missing":
            rules[path] = ["is missing, and must be given"]
            continue
        path, element, left = _inner(path, rest, tree)
        if element and elements.setdefault(path, element) != element:
            continue
        if found["type"] == "too_short" and path in elements:  # without its wrong elements
            continue
        if found["type"] == "extra_forbidden":
            rules[path] = ["is not a config key"]
            continue
        if left:
            members.add(path)
        values.setdefault(path, found["input"])
        rule = _SUBJECT.sub("", found["msg"]).removeprefix("be ").partition(" after validation")[0]
        near[path] = near.get(path) or hint(path, found, tree)
        rules.setdefault(path, []).append(KINDS.get(found["type"], rule) + element)
    for path in [one for one in members if any(other.startswith((f"{one}.", f"{one}[")) for other in rules)]:
        del rules[path]
    return [Fault(path, _rule(path, texts, values) + near.get(path, ""), origin(path)) for path, texts in rules.items()]


def _inner(path: str, rest: tuple[int | str, ...], tree: Mapping[str, Any]) -> tuple[str, str, bool]:
    """Return the path of a value within a mapping or a list at a key, the place in a list in
    words, and whether the rest of its location names the member of a union."""
    value = value_at(tree, path)
    places, element, left = "", "", False
    for part in rest:
        if isinstance(value, Mapping) and part in value:
            path, places = f"{path}{places}.{part}", ""
            value = value[part]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            places, element = f"{places}[{part}]", element or f" (element {part})"
            value = value[part]
        else:
            left = True
    return path, element if places else "", left


def _rule(path: str, texts: list[str], values: dict[str, Any]) -> str:
    if path not in values:
        return texts[0]
    texts = [text for text in texts if text.startswith(_FINITE)] or texts
    be = "" if texts[0].startswith("have ") else "be "
    return f"is {shown(values[path])}, but must {be}{' or '.join(dict.fromkeys(texts))}"


def _known_part(location: tuple[int | str, ...]) -> tuple[str, tuple[int | str, ...]]:
    """Return the config key of a pydantic location, and the rest (an index, a union's member)."""
    owner: type[BaseModel] | None = Config
    names: list[str] = []
    for name in location:
        if owner is None or name not in fields_of(owner):
            break
        names.append(str(name))
        owner = section_of(fields_of(owner)[str(name)].annotation)
    return ".".join(names), location[len(names) :]


def _remove(tree: dict[Any, Any], path: str) -> bool:
    """Delete a value, or the section that lacks a required one. Return whether any was deleted.

    A key of a file may hold dots itself, or be a number or a truth value, which JSON writes as a
    text.
    """
    for key, value in tree.items():
        name = _name(key)
        within = path.startswith(f"{name}.")
        if path == name or (within and not _removed_within(value, path[len(name) + 1 :])):
            del tree[key]
            return True
        if within:
            return True
    return False


def _name(key: Any) -> str:
    """Return the key of a mapping as JSON writes it; one that JSON cannot hold as Python shows
    it."""
    if isinstance(key, str):
        return key
    return json.dumps(key) if isinstance(key, int | float | None) else repr(key)


def _removed_within(value: Any, path: str) -> bool:
    return isinstance(value, dict) and _remove(value, path)


def _unusable_values(value: Any, path: str) -> Iterable[Fault]:
    """Yield a fault for each value of a kind that no config key takes, and for each key of such a
    kind.

    Only YAML's tags can write them, such as bytes and sets.
    """
    match value:
        case dict():
            for key, inner in value.items():
                place = _place(path, key)
                if isinstance(key, str | int | float | None):
                    yield from _unusable_values(inner, place)
                else:
                    yield Fault(place, f"has the key {key!r}, but a key must be a text or a number")
        case list() | tuple():
            for index, inner in enumerate(value):
                yield from _unusable_values(inner, f"{path}[{index}]")
        case str():
            if any("\ud800" <= letter <= "\udfff" for letter in value):
                yield Fault(path, f"is {value!a}, which holds half of a character (a surrogate)")
        case None | int() | float():
            pass
        case _:
            yield Fault(path, f"is {value!r}, but must be a number, a text, true, false, null, a list or a mapping")


def _infinite(value: Any, path: str) -> Iterator[tuple[str, float]]:
    """Yield the numbers that JSON cannot hold in a tree that was parsed, with their places: those
    in values of any kind, such as the options of a sampler, which the schema does not look at."""
    match value:
        case dict():
            for key, inner in value.items():
                yield from _infinite(inner, _place(path, key))
        case list() | tuple():
            for index, inner in enumerate(value):
                yield from _infinite(inner, f"{path}[{index}]")
        case float() if not isfinite(value):
            yield path, value


def _place(path: str, key: Any) -> str:
    """Return the path of a key within the mapping at `path`."""
    return f"{path}.{_name(key)}" if path else _name(key)
