"""Abstention and calibration, from records and predictions whose numbers are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from report.conftest import final, six_trials
from sweep.analysis.calibration import calibrated
from sweep.analysis.facts import Facts, read
from sweep.analysis.predictions import Prediction
from sweep.analysis.summary import study_summary
from sweep.config.schema import PromptConfig
from sweep.records.calibration import Bin, Calibration, Reliability
from sweep.records.store import Store

AGREED = Reliability(loss=0.5, ece=0.02, bins=(Bin(10, 0.9, 0.92),))
FOUND = Calibration(1.5, rows=120, folds=5, before=replace(AGREED, ece=0.1), after=AGREED, test_after=AGREED)


def facts(make: Callable[..., Store], rows: Sequence[tuple[float, bool]]) -> Facts:
    ending = replace(final(six_trials()[1]), calibration=FOUND)
    found = [
        Prediction(str(at), "x", None, ("a",), ("a" if right else "b",), sure) for at, (sure, right) in enumerate(rows)
    ]
    return replace(read(make(six_trials(), ending=ending)), predictions=tuple(found))


def test_a_level_answers_the_rows_from_it_on(make: Callable[..., Store]) -> None:
    rows = [(0.95, True), (0.8, True), (0.8, False), (0.55, False), (float("nan"), True)]
    found = calibrated(facts(make, rows))
    assert found is not None and found.found == FOUND
    levels = {one.confidence: (one.answered, one.coverage, one.accuracy) for one in found.levels}
    assert levels[0.0] == (4, 1.0, 0.5)
    assert levels[0.8] == (3, 0.75, pytest.approx(2 / 3))
    assert levels[0.95] == (1, 0.25, 1.0)
    assert levels[0.99] == (0, 0.0, None)


def test_rows_of_equal_confidence_are_answered_together(make: Callable[..., Store]) -> None:
    found = calibrated(facts(make, [(0.95, True), (0.8, True), (0.8, False), (0.55, False)]))
    assert found is not None
    assert found.curve == ((0.25, 1.0), (0.75, pytest.approx(2 / 3)), (1.0, 0.5))


def test_a_long_curve_is_thinned_and_keeps_its_ends(make: Callable[..., Store]) -> None:
    found = calibrated(facts(make, [(at / 1000, at > 500) for at in range(1, 1000)]))
    assert found is not None and len(found.curve) == 200
    assert found.curve[0] == (pytest.approx(1 / 999), 1.0)
    assert found.curve[-1] == (1.0, pytest.approx(499 / 999))


def test_the_winner_s_own_prompt_counts(make: Callable[..., Store]) -> None:
    """Prompts can be searched."""
    known = facts(make, [(0.9, True)])
    assert known.final is not None and known.config.prompt is None
    prompted = known.final.config.model_copy(update={"prompt": PromptConfig(template="{text}")})
    found = [calibrated(one) for one in (known, replace(known, final=replace(known.final, config=prompted)))]
    assert [one is not None and one.words for one in found] == [False, True]


def test_a_winner_without_calibration_has_none(store: Store) -> None:
    assert calibrated(read(store)) is None


def test_the_study_s_run_has_the_temperature_and_the_errors(make: Callable[..., Store]) -> None:
    summary = study_summary(facts(make, [(0.9, True)]))
    told = {name: value for name, value in summary.items() if name.startswith("calibration/")}
    assert told == {
        "calibration/temperature": 1.5,
        "calibration/ece_validation_before": 0.1,
        "calibration/ece_validation_after": 0.02,
        "calibration/ece_test_after": 0.02,
    }
