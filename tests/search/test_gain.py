"""The gain that more trials are expected to bring."""

from __future__ import annotations

import numpy as np
import pytest

from sweep.search.gain import LEAST_TRIALS, Gain, expected_gain

SCORES = (0.80, 0.81, 0.79, 0.70, 0.78, 0.60, 0.74, 0.77, 0.81, 0.72, 0.65, 0.795)


def known(scores: tuple[float, ...], ended: int, more: int) -> Gain:
    found = expected_gain(scores, ended, more)
    assert found is not None
    return found


@pytest.mark.parametrize(("scores", "ended"), [
    (SCORES[:7], LEAST_TRIALS - 1), (SCORES[:2], 20), ((0.8,) * 12, 12), ((0.9, 0.8, *(0.8,) * 10)[1:], 12),
])  # fmt: skip
def test_few_trials_and_equal_scores_tell_nothing(scores: tuple[float, ...], ended: int) -> None:
    assert expected_gain(scores, ended, 10) is None


def test_no_more_trials_bring_nothing() -> None:
    found = known(SCORES, 12, 0)
    assert (found.expected, found.limit, found.chance(0.0)) == (0, 0, 0)


def test_more_trials_bring_more_and_later_ones_less() -> None:
    gains = [known(SCORES, 12, more).expected for more in (1, 4, 12, 48)]
    assert gains == sorted(gains) and gains[0] > 0
    assert known(SCORES * 3, 36, 12).expected < known(SCORES, 12, 12).expected


def test_the_gain_has_the_unit_of_the_score() -> None:
    once = known(SCORES, 12, 12)
    ten = known(tuple(10 * score - 3 for score in SCORES), 12, 12)
    assert ten.expected == pytest.approx(10 * once.expected) and ten.limit == pytest.approx(10 * once.limit)
    assert ten.chance(0.1) == pytest.approx(once.chance(0.01))


def test_pruned_trials_make_a_gain_rarer() -> None:
    """The same scores from more trials."""
    assert known(SCORES, 14, 12).chance(0.01) < known(SCORES, 12, 12).chance(0.01)


def test_the_limit_is_exceeded_once_in_twenty_times() -> None:
    found = known(SCORES, 12, 12)
    assert found.expected < found.limit
    assert found.chance(found.limit) == pytest.approx(0.05) and found.chance(0.9 * found.limit) > 0.05


def test_the_estimate_covers_the_gain_of_trials_that_are_drawn_alike() -> None:
    """Scores near an upper end: the limit holds for at least nine draws in ten, and the estimate is
    above the mean gain, by less than three times."""
    draws = 1 - np.random.default_rng(0).random((60, 32)) ** 0.6
    gains = [known(tuple(draw[:16]), 16, 16) for draw in draws]
    real = np.maximum(draws.max(axis=1) - draws[:, :16].max(axis=1), 0)
    assert np.mean(real <= [gain.limit for gain in gains]) >= 0.9
    assert 1 < np.mean([gain.expected for gain in gains]) / real.mean() < 3


def test_no_gain_is_greater_than_the_room_that_there_is() -> None:
    free, held = known(SCORES, 12, 12), expected_gain(SCORES, 12, 12, room=0.01)
    assert held is not None and held.limit == 0.01 < free.limit and held.expected < min(free.expected, 0.01)
    assert held.chance(0.005) == pytest.approx(free.chance(0.005), rel=0.05) and held.chance(0.02) == 0
    none = expected_gain(SCORES, 12, 12, room=0.0)
    assert none is not None and none.expected == 0
