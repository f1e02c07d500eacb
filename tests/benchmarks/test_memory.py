"""The line through a series of memory samples."""

from __future__ import annotations

import random

import pytest
from benchmarks.memory import growth


def test_a_line_is_its_own_slope() -> None:
    found = growth([100 + 0.25 * index for index in range(80)])
    assert found.slope == pytest.approx(0.25)
    assert found.margin == pytest.approx(0, abs=1e-6)
    assert found.risen == pytest.approx(0.25 * 70)


def test_noise_lies_within_its_interval() -> None:
    draw = random.Random(0)
    slopes = [growth([draw.gauss(500, 3) for _ in range(80)]) for _ in range(200)]
    covered = sum(abs(one.slope) <= one.margin for one in slopes)
    assert 180 <= covered <= 198  # of 200, at 95 %
