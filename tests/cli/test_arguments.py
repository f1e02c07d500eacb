from __future__ import annotations

from argparse import ArgumentTypeError
from typing import Any

import pytest

from sweep.cli.arguments import decimal, delimiter, encoding, whole


def test_values_are_converted() -> None:
    assert (whole(1)("70000"), whole(0, 9)("9"), decimal(0)("0.5"), decimal(1, 9)("9")) == (70_000, 9, 0.5, 9.0)
    assert (encoding("CP1252"), delimiter("tab"), delimiter(r"\t"), delimiter(";")) == ("cp1252", "\t", "\t", ";")


@pytest.mark.parametrize(
    ("convert", "text", "said"),
    [
        (whole(1, 9), "x", "is 'x', but must be a whole number from 1 to 9"),
        (whole(1, 9), "10", "is 10, but must be a whole number from 1 to 9"),
        (whole(1), "0", "is 0, but must be a whole number from 1 on"),
        (whole(1), "1.5", "is '1.5', but must be a whole number from 1 on"),
        (decimal(0), "x", "is 'x', but must be a number from 0 on"),
        (decimal(0), "nan", "is nan, but must be a number from 0 on"),
        (decimal(1, 9), "9.5", "is 9.5, but must be a number from 1 to 9"),
        (encoding, "utf-9", "is utf-9, which is no encoding"),
        (encoding, "base64", "is base64, which is no encoding of text"),
        (delimiter, "ab", "is 'ab', but must be one character, or tab"),
    ],
)
def test_other_texts_are_refused_in_words(convert: Any, text: str, said: str) -> None:
    with pytest.raises(ArgumentTypeError, match=said):
        convert(text)
