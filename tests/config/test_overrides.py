"""Values written as Hydra's overrides."""

from __future__ import annotations

from support.plans import QUICK
from sweep.config.compose import Composer
from sweep.config.overrides import merged, quoted


def test_quoting_survives_hydra() -> None:
    values = [
        "plain",
        "with space",
        "it's",
        "a,b",
        "null",
        "true",
        "1e5",
        "",
        "a=b",
        "back\\slash",
        3,
        1e-05,
        True,
        None,
    ]
    for value in values:
        tree = Composer().compose([QUICK, f"title={quoted(value)}", f"tracker.tags=[{quoted(value)}]"]).resolved()
        assert tree["title"] == value
        assert tree["tracker"]["tags"] == [value]


def test_values_take_the_place_of_what_was_said_before() -> None:
    assert merged(Composer(), ["a=1", "+adapter=lora", "b=2"], {"a": 5, "adapter": "ia3"}) == [
        "b=2",
        "a=5",
        "adapter=ia3",
    ]
