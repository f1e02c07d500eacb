"""The size of a config with its interpolations (`${…}`) filled in, computed before they are.

OmegaConf fills in each interpolation anew, so that a few texts that name one another ten times
each would never end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

MOST = 2**16  # characters: OmegaConf fills in some 30,000 a second
_NAME = re.compile(r"[\w.\[\]-]+")
_PART = re.compile(r"[\w-]+")

Place = tuple[str | int, ...]


def hazard(tree: dict[Any, Any]) -> tuple[str, str] | None:
    """Return the first key whose interpolations grow too large and the rule it breaks, or None.

    The limit is `MOST` characters. `tree` is plain, with its interpolations as they were written.
    """
    known: dict[Place, int] = {}
    total = 0
    for place, text in _texts(tree, ()):
        if "${" not in text:
            continue
        total += _size(tree, place, known)
        if total > MOST:
            rule = f"has interpolations (${{…}}) that expand to more than {MOST:,} characters"
            return ".".join(map(str, place)), f"{rule}; write the value out"
    return None


def _size(tree: Any, place: Place, known: dict[Place, int]) -> int:
    """Return the characters of the value at `place`, with its interpolations filled in.

    An interpolation that leads back to itself counts nothing: OmegaConf refuses it.
    """
    if place in known:
        return known[place]
    known[place] = 0
    value, size = _at(tree, place), 1
    match value:
        case dict():
            size += sum(_size(tree, (*place, key), known) for key in value)
        case list():
            size += sum(_size(tree, (*place, index), known) for index in range(len(value)))
        case str():
            size += len(value) + sum(_size(tree, named, known) for named in _named(tree, place, value))
    known[place] = size
    return size


def _named(tree: Any, place: Place, text: str) -> Iterator[Place]:
    """Return the places that the interpolations of a text name.

    Where a name is itself made of interpolations, such as `${a.${b}}`, or is an argument of a
    resolver, every place of a name within it counts.
    """
    for written in _NAME.findall(_within(text)):
        name = written.lstrip(".")
        up = len(written) - len(name)
        start = place[: max(len(place) - up, 0)] if up else ()
        named = (*start, *(int(part) if part.isdecimal() else part for part in _PART.findall(name)))
        if _at(tree, named) is not None and named != place[: len(named)]:
            yield named


def _within(text: str) -> str:
    """Return the text between the braces of interpolations, with a blank between any two."""
    found, depth, position = [], 0, 0
    while position < len(text):
        if text.startswith("${", position):
            depth, position = depth + 1, position + 2
            found.append(" ")
            continue
        if text[position] == "}" and depth:
            depth -= 1
            found.append(" ")
        elif depth:
            found.append(text[position])
        position += 1
    return "".join(found)


def _at(tree: Any, place: Place) -> Any:
    """Return the value at a place, or None where there is none."""
    found = tree
    for part in place:
        if isinstance(found, dict):
            found = found.get(part, found.get(str(part)))
        elif isinstance(found, list) and isinstance(part, int) and part < len(found):
            found = found[part]
        else:
            return None
    return found


def _texts(value: Any, place: Place) -> Iterator[tuple[Place, str]]:
    match value:
        case dict():
            for key, inner in value.items():
                yield from _texts(inner, (*place, key))
        case list():
            for index, inner in enumerate(value):
                yield from _texts(inner, (*place, index))
        case str():
            yield place, value
