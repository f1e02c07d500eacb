"""Overrides with other values in the place of some."""

from __future__ import annotations

from sweep.config.compose import Composer
from sweep.config.overrides import merged


def test_values_take_the_place_of_what_was_said_before() -> None:
    assert merged(Composer(), ["a=1", "+adapter=lora", "b=2"], {"a": 5, "adapter": "ia3"}) == [
        "b=2",
        "a=5",
        "adapter=ia3",
    ]
