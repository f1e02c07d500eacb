"""The numbers of `benchmarks.outlook`, on searches that can be counted by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from benchmarks.curves import Curve
from benchmarks.outlook import RULES, Search, estimated, stopped, stopped_at
from benchmarks.replay import End

NAMES = {"sampler": "random", "pruner": "none", "table": "by hand"}


def search(scores: Sequence[float | None], lengths: Sequence[int]) -> Search:
    """Return a search whose trials ran one after the other."""
    trained = [sum(lengths[: place + 1]) for place in range(len(lengths))]
    ends = tuple(
        End(Curve({}, ()), score, place + 1, trained[place]) for place, score in enumerate(scores)
    )  # fmt: skip
    return Search(ends, len(ends), trained[-1], 500)


FALLING = search([0.9 - 0.01 * place for place in range(20)], [3] * 20)
LATE = search([0.5] * 10 + [None] * 6 + [0.9, None, None, None], [3] * 10 + [1] * 6 + [3, 1, 1, 1])
# Twelve trials begin before one of the four completes; eight are paused to the last.
PAUSING = Search(
    tuple(End(Curve({}, ()), score, 12, 12 + 3 * place) for place, score in enumerate((0.8, 0.7, 0.6, 0.9), 1)),
    12,
    24,
    500,
)


def test_a_search_is_cut_where_a_rule_first_holds() -> None:
    assert stopped_at(FALLING, RULES["patience: 5"]) == 6
    assert stopped_at(LATE, RULES["patience: 12"]) == 13
    assert stopped_at(FALLING, lambda search, ended: False) is None


def test_a_rule_saves_trials_and_rows_and_loses_what_came_later() -> None:
    found = stopped([LATE], "patience: 12", **NAMES)
    assert (found.held, found.saved, found.rows_saved) == (1, 7 / 20, pytest.approx(1 - 33 / 42))
    assert found.lost == pytest.approx(0.4) and found.within == 0
    again = stopped([FALLING, LATE], "patience: 12", **NAMES)
    assert again.within == 0.5 and again.searches == 2


def test_where_trials_pause_a_rule_saves_rows_and_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, "two", lambda search, ended: ended == 2)  # type: ignore[arg-type]
    found = stopped([PAUSING], "two", **NAMES)
    assert (found.held, found.saved, found.rows_saved) == (1, 0, pytest.approx(1 - 18 / 24))
    assert found.lost == pytest.approx(0.1)
    assert stopped([PAUSING], "patience: 5", **NAMES).held == 0


def test_an_estimate_is_compared_with_the_search_of_all_trials() -> None:
    early = Search(FALLING.ends[:12], 12, 36, 500)
    equal = Search(LATE.ends[:12], 12, 32, 500)
    found = estimated([(early, FALLING), (equal, LATE)], **NAMES)
    assert found is not None and (found.after, found.searches, found.known) == (12, 2, 1), "equal scores tell nothing"
    assert found.real == 0 and found.covered == 1 and found.expected > 0
    assert estimated([(equal, LATE)], **NAMES) is None
    paused = estimated([(PAUSING, FALLING)], **NAMES)
    assert paused is not None and paused.known == 1 and paused.real == pytest.approx(0)
