"""Converters of the values of options, for argparse, which shows their messages."""

from __future__ import annotations

import codecs
import math
from argparse import ArgumentTypeError
from collections.abc import Callable


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return a converter for whole numbers from `least` to `most`, or without an upper end.

    The converter raises ArgumentTypeError for any other text.
    """
    rule = f"must be a whole number {_range(least, most)}"

    def converted(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise ArgumentTypeError(f"is {text!r}, but {rule}") from None
        if number < least or (most is not None and number > most):
            raise ArgumentTypeError(f"is {number}, but {rule}")
        return number

    return converted


def decimal(least: int, most: int | None = None) -> Callable[[str], float]:
    """Return a converter for finite numbers from `least` to `most`, or without an upper end.

    The converter raises ArgumentTypeError for any other text.
    """
    rule = f"must be a number {_range(least, most)}"

    def converted(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            raise ArgumentTypeError(f"is {text!r}, but {rule}") from None
        if not math.isfinite(number) or number < least or (most is not None and number > most):
            raise ArgumentTypeError(f"is {text}, but {rule}")
        return number

    return converted


def encoding(text: str) -> str:
    """Return the name that Python has for an encoding.

    Raises ArgumentTypeError where it has none.
    """
    try:
        return codecs.lookup(text).name
    except LookupError:
        raise ArgumentTypeError(f"is {text}, which is no encoding that Python knows, such as cp1252") from None


def delimiter(text: str) -> str:
    """Return one character; the word tab stands for a tab. Raises ArgumentTypeError for any other
    text."""
    found = {"tab": "\t", "\\t": "\t"}.get(text, text)
    if len(found) != 1:
        raise ArgumentTypeError(f"is {text!r}, but must be one character, or tab")
    return found


def _range(least: int, most: int | None) -> str:
    return f"from {least} {'on' if most is None else f'to {most}'}"
