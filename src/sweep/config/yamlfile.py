"""Faults of a YAML file that show before it is loaded: encoding, size, and size of aliases.

PyYAML builds a tree by recursion and shares aliased parts; OmegaConf and JSON then write out each
of them. Therefore depth and size are counted on the events of the parser, which needs no tree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, Event, NodeEvent, ScalarEvent

MOST_BYTES = 2**20
MOST_VALUES = 20_000
DEEPEST = 40
LONGEST_NUMBER = 100  # characters
# The errors that PyYAML raises for a file; the last three for a tag such as !!int on a text.
UNREADABLE = (yaml.YAMLError, OSError, ValueError, TypeError, AttributeError)
_HEADER = re.compile(r"\ufeff\s*#\s*@")  # Hydra looks for the header at the very beginning of a file
_DIGITS = re.compile(r"[-+]?(0[xob])?[0-9a-fA-F_:.]+")


def hazard(path: Path) -> str | None:
    """Return the rule that the file breaks, or None.

    Mistakes of syntax are left to the loader. Raises OSError.
    """
    if (size := path.stat().st_size) > MOST_BYTES:
        return f"has {size:,} bytes, but a config or search space may have {MOST_BYTES:,} at most"
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        return f"is not UTF-8 text (byte {error.start}): save it as UTF-8"
    if _HEADER.match(text):
        return "begins with a byte order mark, which hides its first line from Hydra: save it as UTF-8 without one"
    before, nul, _ = text.partition("\0")
    if nul:
        return f"holds a NUL in line {before.count(chr(10)) + 1}: save it as plain UTF-8 text"
    try:
        return _of_events(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.YAMLError:
        return None


@dataclass(slots=True)
class _Node:
    """A value with all below it: `values` counts them, `height` counts their levels."""

    anchor: str | None
    values: int = 1
    height: int = 1

    def take(self, values: int, height: int) -> None:
        self.values += values
        self.height = max(self.height, height + 1)


def _of_events(events: Iterator[Event]) -> str | None:
    named: dict[str | None, _Node] = {}
    open_nodes: list[_Node] = [_Node(None)]
    for event in events:
        line = event.start_mark.line + 1 if event.start_mark else 0
        match event:
            case AliasEvent():
                found = named.get(event.anchor)
                if found is None:
                    continue  # an unknown alias; the loader reports it
                if any(node is found for node in open_nodes):
                    return f"has an alias to a value that holds it, *{event.anchor} in line {line}"
                open_nodes[-1].take(found.values, found.height)
            case ScalarEvent():
                if event.style is None and len(event.value) > LONGEST_NUMBER and _DIGITS.fullmatch(event.value):
                    return (
                        f"has a number of {len(event.value):,} characters in line {line}; the most is {LONGEST_NUMBER}"
                    )
                node = _Node(event.anchor)
                open_nodes[-1].take(node.values, node.height)
            case CollectionStartEvent():
                node = _Node(event.anchor)
                open_nodes.append(node)
            case CollectionEndEvent():
                node = open_nodes.pop()
                open_nodes[-1].take(node.values, node.height)
        if isinstance(event, NodeEvent) and not isinstance(event, AliasEvent) and event.anchor:
            named[event.anchor] = node
        if len(open_nodes) + open_nodes[-1].height > DEEPEST:
            return f"is nested more than {DEEPEST} deep in line {line}"
        if sum(node.values for node in open_nodes) > MOST_VALUES:
            return f"has more than {MOST_VALUES:,} values, with what its aliases stand for, in line {line}"
    return None
