"""The nearness of points, computed once for each pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp

import pytest

from sweep.search import nearness as module
from sweep.search.nearness import Nearness

POINTS: list[Mapping[str, float | str]] = [
    {"rate": 0.25, "kind": "a"},
    {"rate": 0.75, "kind": "a"},
    {"rate": 0.75, "kind": "b"},
    {"rate": 0.25, "kind": "b", "rank": 0.5},
]


def near(distance: float) -> float:
    return exp(-2 * distance)


def test_nearness_falls_with_the_distance_and_other_choices_and_lone_keys_are_1_apart() -> None:
    found = Nearness().of(POINTS, [0, 2])
    assert found[0] == pytest.approx([1, near(0.25), near(1.25), near(2)])
    assert found[1] == pytest.approx([near(1.25), near(1), 1, near(1.25)])


def test_a_place_may_be_asked_for_several_times() -> None:
    once, several = Nearness().of(POINTS, [3, 1]), Nearness().of(POINTS, [1, 3, 3, 1])
    assert several.tolist() == once[[1, 0, 0, 1]].tolist()


def test_rows_are_kept_while_the_points_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    computed = list[Sequence[int]]()
    distances = module._distances
    monkeypatch.setattr(
        module, "_distances", lambda points, chosen: computed.append(chosen) or distances(points, chosen)
    )
    kept = Nearness()
    found = [kept.of(list(POINTS), places).tolist() for places in ([0, 1], [1, 0], [1, 2], [2], [0])]
    assert computed == [[0, 1], [2], [0]], "a row that was not asked for is dropped"
    assert found == [Nearness().of(POINTS, places).tolist() for places in ([0, 1], [1, 0], [1, 2], [2], [0])]
    other = [*POINTS[:3], {"rate": 0.5, "kind": "b"}]
    assert kept.of(other, [0]).tolist() == Nearness().of(other, [0]).tolist() != found[-1]
