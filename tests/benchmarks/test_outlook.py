"""The numbers of `benchmarks.outlook`, on searches that can be counted by hand."""

from __future__ import annotations

import pytest
from benchmarks.outlook import RULES, Search, estimated, stopped, stopped_at

NAMES = {"sampler": "random", "pruner": "none", "table": "by hand"}
FALLING = Search(tuple(0.9 - 0.01 * place for place in range(20)), (3,) * 20, 500)
LATE = Search((0.5,) * 10 + (None,) * 6 + (0.9, None, None, None), (3,) * 10 + (1,) * 6 + (3, 1, 1, 1), 500)


def test_a_search_is_cut_where_a_rule_first_holds() -> None:
    assert stopped_at(FALLING, RULES["patience: 5"]) == 6
    assert stopped_at(LATE, RULES["patience: 12"]) == 13
    assert stopped_at(FALLING, lambda search, trials: False) == 20


def test_a_rule_saves_trials_and_rows_and_loses_what_came_later() -> None:
    found = stopped([LATE], "patience: 12", **NAMES)
    assert (found.saved, found.rows_saved) == (7 / 20, pytest.approx(1 - 33 / 42))
    assert found.lost == pytest.approx(0.4) and found.within == 0
    again = stopped([FALLING, LATE], "patience: 12", **NAMES)
    assert again.within == 0.5 and again.searches == 2


def test_an_estimate_is_compared_with_what_followed() -> None:
    found = estimated([FALLING, LATE], 12, **NAMES)
    assert found is not None and (found.searches, found.known) == (2, 1), "the scores of the second are all equal"
    assert found.real == 0 and found.covered == 1 and found.expected > 0
    assert estimated([LATE], 12, **NAMES) is None
