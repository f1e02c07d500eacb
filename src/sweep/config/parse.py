"""A plain mapping → `Config`, with every fault of its values."""

from __future__ import annotations

import copy
import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from sweep.config import adapter as adapters
from sweep.config.adapter import METHOD, WHOLE_RULE, AdapterConfig
from sweep.config.limits import flat
from sweep.config.objective import two_objectives
from sweep.config.schema import Config
from sweep.config.section import Section
from sweep.errors import Fault, UserError, closest

Origin = Callable[[str], str]

PACKAGE_LINE = "'# @package _global_'"  # the first line of an experiment's file

_SUBJECT = re.compile(r"^\w+ should ")  # how pydantic begins a rule
_FINITE = "a finite number"  # its rule for NaN and infinity; a union's other rules are left out beside it
_PLAIN = re.compile(r"[A-Za-z_][\w./-]*")  # a text that Hydra reads as a text without quotes
_OF_NUMBERS = ("int_type", "float_type")
_KINDS = {"tuple_type": "a list", "dict_type": "a mapping", "model_type": "a mapping"}  # YAML's words for JSON's
_EXAMPLE = re.compile(r"\[?\{[^{}]*\}\]?")  # a mapping, or a list of one, in the description of a key
_FEW = 6  # keys of a section that are all shown with how to type them


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
    faults = [Fault(fault.path, fault.message, origin(fault.path)) for fault in _foreign(left, "")]
    for fault in faults:
        _remove(left, fault.path.split("[")[0])
    while True:
        try:
            config = Config.model_validate_json(json.dumps(left))
        except ValidationError as error:
            found = _faults(error, left, origin)
            faults += found
            removed = [
                _remove(left, "adapter" if fault.path == METHOD else fault.path.split("[")[0]) for fault in found
            ]
            if not any(removed):
                raise UserError(faults) from None
        else:
            return config, faults


def section(path: str) -> type[Section] | None:
    """Return the schema class at a dotted key; None for a plain value and for an unknown key."""
    found: type[Section] | None = Config
    for name in path.split("."):
        if found is None or name not in _fields(found):
            return None
        found = _section_of(_fields(found)[name].annotation)
    return found


def is_key(path: str) -> bool:
    """Return whether a dotted key is one of the schema's."""
    return _field(path) is not None


def _field(path: str) -> FieldInfo | None:
    """Return the field at a dotted key; None for an unknown key."""
    parent, _, name = path.rpartition(".")
    owner = section(parent) if parent else Config
    return None if owner is None else _fields(owner).get(name)


def keys() -> tuple[str, ...]:
    """Return every dotted key that holds a value."""
    return tuple(_keys(Config, ""))


def _fields(owner: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """Return the keys of a section; those of `adapter` are the keys of all methods."""
    if owner is AdapterConfig:
        return {name: info for kind in adapters.known().values() for name, info in kind.model_fields.items()}
    return owner.model_fields


def _method(tree: Mapping[Any, Any]) -> str:
    """Return the adapter method that a config names, or the default."""
    adapter = tree.get("adapter")
    method = adapter.get("method") if isinstance(adapter, Mapping) else None
    return method if isinstance(method, str) else adapters.DEFAULT


def _keys(owner: type[Section], prefix: str) -> Iterable[str]:
    for name, info in _fields(owner).items():
        inner = _section_of(info.annotation)
        if inner is None:
            yield prefix + name
        else:
            yield from _keys(inner, f"{prefix}{name}.")


def _section_of(annotation: Any) -> type[Section] | None:
    candidates = (annotation, *get_args(annotation))
    return next((kind for kind in candidates if isinstance(kind, type) and issubclass(kind, Section)), None)


def _faults(error: ValidationError, tree: Mapping[str, Any], origin: Origin) -> list[Fault]:
    """One fault a key: a union reports each of its members, which read better as one rule.

    `tree` is what was validated.
    """
    rules: dict[str, list[str]] = {}
    values: dict[str, Any] = {}
    near: dict[str, str] = {}
    members: set[str] = set()  # keys of a union, whose other members may hold the fault further within
    for found in error.errors():
        path, rest = _known_part(found["loc"])
        if found["type"] == "extra_forbidden" and not any(isinstance(part, int) for part in found["loc"]):
            path = ".".join(map(str, found["loc"]))
            parent, _, name = path.rpartition(".")
            foreign = parent == "adapter"
            rules[path] = [adapters.foreign_key(_method(tree), name, found["input"]) if foreign else _unknown(path)]
            continue
        if found["type"] == WHOLE_RULE:
            rules[path] = [found["msg"]]
            continue
        if found["type"] == "missing":
            rules[path] = ["is missing, and must be given"]
            continue
        path, element, left = _inner(path, rest, tree)
        if found["type"] == "extra_forbidden":
            rules[path] = ["is not a config key"]
            continue
        if left:
            members.add(path)
        values.setdefault(path, found["input"])
        rule = _SUBJECT.sub("", found["msg"]).removeprefix("be ").partition(" after validation")[0]
        near[path] = near.get(path) or _hint(path, found)
        rules.setdefault(path, []).append(_KINDS.get(found["type"], rule) + element)
    for path in [one for one in members if any(other.startswith((f"{one}.", f"{one}[")) for other in rules)]:
        del rules[path]
    return [Fault(path, _rule(path, texts, values) + near.get(path, ""), origin(path)) for path, texts in rules.items()]


def _inner(path: str, rest: tuple[int | str, ...], tree: Mapping[str, Any]) -> tuple[str, str, bool]:
    """Return the path of a value within a mapping or a list at a key, the place in a list in
    words, and whether the rest of its location names the member of a union."""
    value: Any = tree
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
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


def mapping_hint(path: str) -> str:
    """Return what to type for a key whose value is a mapping, or a list of mappings; empty for any
    other key, and where `path` is no key."""
    if (field := _field(path)) is None:
        return ""
    if (owner := section(path)) is None:
        example = _example(field) or ("{NAME: VALUE}" if _is_mapping(field.annotation) else "")
        return example and f"; type {shlex.quote(f'{path}={example}')}"
    names = [*_fields(owner)]
    if get_origin(field.annotation) is tuple:
        return f"; each one has: {', '.join(names)}"
    typed = " or ".join(f"{path}.{one}=VALUE" for one in names)
    return f"; type {typed}" if len(names) <= _FEW else f"; {path} has: {', '.join(names)}"


def list_hint(path: str) -> str:
    """Return what to type for a key whose value is a list of mappings; empty for other lists."""
    field = _field(path)
    return mapping_hint(path) if field is not None and _example(field).startswith("[") else ""


def _example(field: FieldInfo) -> str:
    """Return the value that the description of a key has as an example, or an empty text."""
    found = _EXAMPLE.search(field.description or "")
    return found[0] if found else ""


def _is_mapping(annotation: Any) -> bool:
    kinds = (get_origin(one) for one in (annotation, *get_args(annotation)))
    return any(isinstance(kind, type) and issubclass(kind, Mapping) for kind in kinds)


def _hint(path: str, found: ErrorDetails) -> str:
    """Return what was probably meant, or what to type; empty where that is not known."""
    match _KINDS.get(found["type"]):
        case "a mapping":
            return mapping_hint(path)
        case "a list":
            return _in_brackets(path, found) or list_hint(path)
        case _:
            return _nearest(found) or _without_quotes(found)


def _nearest(found: ErrorDetails) -> str:
    """Return a question about the name that a text was probably meant to be, or an empty text."""
    if found["type"] != "literal_error" or not isinstance(found["input"], str):
        return ""
    given, names = found["input"], re.findall("'([^']*)'", found["ctx"]["expected"])
    longer = [name for name in names if given and name.startswith(given)]
    if not longer and (whole := closest(given, names)):
        return whole
    starts = {name[: len(given)]: name for name in reversed(names)}  # of names with an ending: lion_8bit
    similar = longer or [starts[start] for start in get_close_matches(given, starts, n=1, cutoff=0.75)]
    return f" (did you mean {similar[0]}?)" if similar else ""


def _without_quotes(found: ErrorDetails) -> str:
    """Return what to write where a number was given as a text; empty for any other fault."""
    if found["type"] not in _OF_NUMBERS or not isinstance(found["input"], str):
        return ""
    try:
        float(found["input"])
    except ValueError:
        return ""
    return "; write the number without quotes"


def _in_brackets(path: str, found: ErrorDetails) -> str:
    """Return what to type where a list was expected and one of its elements was given; empty for
    any other fault."""
    value = found["input"]
    parent, _, name = path.rpartition(".")
    owner = section(parent)
    if not isinstance(value, str | int) or owner is None:
        return ""
    annotation: Any = _fields(owner)[name].annotation
    try:
        TypeAdapter(annotation).validate_json(json.dumps([value]))
    except ValidationError:
        return ""
    element = value if isinstance(value, str) and _PLAIN.fullmatch(value) else json.dumps(value)
    return f"; type {shlex.quote(f'{path}=[{element}]')}"


def _rule(path: str, texts: list[str], values: dict[str, Any]) -> str:
    if path not in values:
        return texts[0]
    texts = [text for text in texts if text.startswith(_FINITE)] or texts
    be = "" if texts[0].startswith("have ") else "be "
    return f"is {json.dumps(values[path])}, but must {be}{' or '.join(dict.fromkeys(texts))}"


def _known_part(location: tuple[int | str, ...]) -> tuple[str, tuple[int | str, ...]]:
    """Split a pydantic location into the config key and the rest (an index, a union's member)."""
    owner: type[BaseModel] | None = Config
    names: list[str] = []
    for name in location:
        if owner is None or name not in _fields(owner):
            break
        names.append(str(name))
        owner = _section_of(_fields(owner)[str(name)].annotation)
    return ".".join(names), location[len(names) :]


def _unknown(path: str) -> str:
    if path == "experiment":
        return f"is not a config key; does the experiment's file begin with the line {PACKAGE_LINE}?"
    parent, _, name = path.rpartition(".")
    owner = section(parent) if parent else Config
    allowed = tuple(_fields(owner)) if owner else ()
    return f"is not a config key{closest(name, allowed)}; {parent or 'the top level'} has: {', '.join(allowed)}"


def _remove(tree: dict[Any, Any], path: str) -> bool:
    """Delete a value, or the section that lacks a required one. Return whether any was deleted.

    A key of a file may hold dots itself, or be a number or a truth value, which JSON writes as a
    text.
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
    """Yield a fault for each value of a kind that no config key takes.

    Only YAML's tags can write such values, such as bytes and sets.
    """
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
