"""The section on calibration, its figure, and its charts on the study's own run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.analysis.charts import charts
from sweep.analysis.facts import Facts, read
from sweep.records.calibration import Bin, Calibration, Reliability
from sweep.records.store import Store
from sweep.report.dashboard import study_ending
from sweep.report.figures import figures

from .conftest import final, part, rows, six_trials

BEFORE = Reliability(loss=0.9, ece=0.15, bins=(Bin(20, 0.6, 0.5), Bin(100, 0.95, 0.8)))
AFTER = Reliability(loss=0.6, ece=0.03, bins=(Bin(40, 0.55, 0.5), Bin(80, 0.85, 0.9)))
FOUND = Calibration(2.25, rows=120, folds=5, before=BEFORE, after=AFTER, test_before=BEFORE, test_after=AFTER)


@pytest.fixture
def told(make: Callable[..., Store]) -> Callable[[Calibration], Facts]:
    return lambda found: read(make(six_trials(), ending=replace(final(six_trials()[1]), calibration=found)))


def test_the_section_has_the_errors_and_what_abstaining_brings(told: Callable[[Calibration], Facts]) -> None:
    facts = told(FOUND)
    text = part("generalisation", facts, {"calibration"}).partition("### Calibration")[2]
    assert "divided by 2.2500, a temperature chosen on 120 validation rows: the model was too sure" in text
    assert "each row was scored with a temperature fitted to the other parts of 5" in text
    assert "![Reliability and abstention](figures/calibration.svg)" in text
    found = rows(text)
    assert ["validation, before", "0.1500", "0.9000"] in found and ["test, calibrated", "0.0300", "0.6000"] in found
    (everything,) = (row for row in found if row[0] == "0.00")
    assert everything[1:3] == [str(len(facts.predictions)), "100.0 %"]


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (replace(FOUND, temperature=1.0), "no temperature could be fitted"),
        (replace(FOUND, temperature=0.5), "the model was not sure enough"),
        (replace(FOUND, folds=1), "the rows are those that the temperature was fitted to"),
        (replace(FOUND, stopped_at=100.0), "**100 is the highest temperature that is tried; a higher one would fit"),
        (replace(FOUND, stopped_at=0.01), "**0.01 is the lowest temperature that is tried; a lower one would fit"),
    ],
    ids=["nothing to fit", "not sure enough", "few rows", "no better than a guess", "too small scores"],
)
def test_what_cannot_be_said_is_not_said(
    told: Callable[[Calibration], Facts], found: Calibration, sentence: str
) -> None:
    assert sentence in part("generalisation", told(found))


def test_a_panel_for_each_split_and_one_for_abstention(told: Callable[[Calibration], Facts]) -> None:
    figure = figures(charts(told(FOUND)))["calibration"]
    titles = [panel.spec["title"] for panel in figure.panels]
    assert titles == ["Reliability on validation", "Reliability on the test split", "Accuracy with abstention"]
    points = {(row["x"], row["y"], row["what"]) for row in figure.panels[0].spec["data"]["values"]}
    assert points == {
        (0.6, 0.5, "before"), (0.95, 0.8, "before"), (0.55, 0.5, "calibrated"), (0.85, 0.9, "calibrated"),
    }  # fmt: skip


def test_without_calibration_there_is_no_section_and_no_figure(store: Store) -> None:
    facts = read(store)
    assert "### Calibration" not in part("generalisation", facts)
    assert "calibration" not in figures(charts(facts))


def test_the_study_s_run_has_the_pictures_and_the_table(told: Callable[[Calibration], Facts]) -> None:
    facts = told(FOUND)
    ending = study_ending(facts, Path("report.md"))
    drawn = {chart.name: chart for chart in ending.charts if chart.kind == "lines"}
    assert set(drawn) == {"calibration/validation", "calibration/test", "calibration/abstention"}
    assert [row["scores"] for row in drawn["calibration/test"].rows] == ["before"] * 2 + ["calibrated"] * 2
    assert [row["confidence"] for row in ending.tables["abstention"]][:2] == [0.0, 0.5]
