"""Seconds outside training and evaluation, from what was seen at the seam."""

from __future__ import annotations

import pytest
from benchmarks.overhead import between_ends, outside
from benchmarks.sides import Event, Side, Trial


def packed(build: float, study: float) -> list[Event]:
    """Two trials at once, two seconds a round. The first one is pulled in ten seconds, and with it
    comes the base, in twenty; building takes `build`, and the study `study` whenever it is
    called."""
    events, clock = [], 0.0

    def happens(kind: str, trial: int, before: float, took: float) -> None:
        nonlocal clock
        events.append(Event(kind, trial, clock + before, rows=8 if kind == "step" else 0, took=took))
        clock += before + took

    happens("next", 0, 0.0, 10.0)
    happens("next", 1, build + 20.0, study)
    for number in range(8):
        waited = build if number == 0 else 0.0  # for the second trial's model
        happens("step", number % 2, waited + (2.0 if number % 2 == 0 else 0.0), study)
    happens("eval", 0, 1.0, study)
    happens("eval", 1, 0.0, study)
    for number in range(2):
        happens("end", number, 0.0, study)
        happens("next", -1, 0.0, 0.0)
    return events


@pytest.mark.parametrize(("build", "study"), [(0.0, 0.0), (0.3, 0.0), (0.0, 0.2), (0.3, 0.2)])
def test_packed_trials_wait_for_what_is_neither_step_nor_evaluation(build: float, study: float) -> None:
    # The first trial's model and the base lie before the second pull.
    found = outside(packed(build, study))
    assert found.study == pytest.approx(study * (1 + 8 + 2 + 2))
    assert found.first_step == pytest.approx(build)
    assert found.total == pytest.approx(found.study + build)


def test_one_after_the_other_counts_from_end_to_end() -> None:
    trials = tuple(Trial(8, 8, 0.5, seconds=5.0, inside=4.0) for _ in range(3))
    timeline = (Event("end", 0, 10.0, took=0.5), Event("end", 1, 15.0), Event("end", 2, 20.0, took=0.25))
    side = Side(20.0, 25.0, 22.0, trials, timeline, "trainer", "cpu", threads=1, peak_device_bytes=0)
    assert between_ends(side) == pytest.approx([0.5, 1.25])
