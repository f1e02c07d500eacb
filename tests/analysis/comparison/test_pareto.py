from __future__ import annotations

from sweep.analysis.comparison.pareto import front


def test_only_what_nothing_beats_in_both_is_kept():
    assert front([(0.9, 100), (0.8, 10), (0.85, 200), (0.7, 10), (0.9, 100)]) == (True, True, False, False, True)


def test_alone_is_in_front():
    assert front([(0.1, 5.0)]) == (True,)
