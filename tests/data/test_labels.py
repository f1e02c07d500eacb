from __future__ import annotations

import pytest

from sweep.data.labels import joined, separated


@pytest.mark.parametrize(
    "names",
    [(), ("joy",), ("joy", "love"), ("a|b", "c"), ("a", "b|c"), ("back\\slash", "|", "\\|"), ("line\nbreak", "x")],
)
def test_names_come_back_from_a_cell(names: tuple[str, ...]) -> None:
    assert separated(joined(names)) == names


def test_names_without_bars_read_as_before() -> None:
    assert joined(("joy", "love")) == "joy|love"
    assert joined(("a|b", "c")) != joined(("a", "b|c"))
