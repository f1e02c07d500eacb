"""Converters of the values of options, for argparse, which shows their messages."""

from __future__ import annotations

import codecs
import math
from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import TypeVar

from sweep.config.dataset import TAB, is_encoding

N = TypeVar("N", int, float)


def whole(least: int, most: float = math.inf) -> Callable[[str], int]:
    """Return a converter for whole numbers from `least` to `most`.

    The converter raises ArgumentTypeError for any other text.
    """
    return _between(int, "a whole number", least, most)


def decimal(least: int, most: float = math.inf) -> Callable[[str], float]:
    """Return a converter for finite numbers from `least` to `most`.

    The converter raises ArgumentTypeError for any other text.
    """
    return _between(float, "a number", least, most)


def encoding(text: str) -> str:
    """Return the name that Python has for an encoding of text.

    Raises ArgumentTypeError where it has none.
    """
    if not is_encoding(text):
        raise ArgumentTypeError(f"is {text}, which is no encoding of text that Python knows, such as cp1252")
    return codecs.lookup(text).name


def delimiter(text: str) -> str:
    """Return one character; the word tab stands for a tab. Raises ArgumentTypeError for any other
    text."""
    found = TAB.get(text, text)
    if len(found) != 1:
        raise ArgumentTypeError(f"is {text!r}, but must be one character, or tab")
    return found


def _between(parse: Callable[[str], N], kind: str, least: int, most: float) -> Callable[[str], N]:
    rule = f"must be {kind} from {least} {'on' if most == math.inf else f'to {most}'}"

    def converted(text: str) -> N:
        try:
            number = parse(text)
        except ValueError:
            raise ArgumentTypeError(f"is {text!r}, but {rule}") from None
        if not least <= number <= most or number == math.inf:
            raise ArgumentTypeError(f"is {text}, but {rule}")
        return number

    return converted
