"""The Pareto set of a study of two objectives: numbers, report, figure and the study's own run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from support.reports import summary_lines
from sweep.analysis.charts import charts
from sweep.analysis.facts import Facts, read
from sweep.analysis.pareto import ParetoSet, pareto
from sweep.analysis.plain import plain
from sweep.analysis.study import analyse
from sweep.analysis.summary import study_summary
from sweep.records.store import Store
from sweep.records.trial import TrialRecord
from sweep.report.dashboard import study_ending
from sweep.report.figures import figures

from .conftest import BATCH, LR, completed, config, final, part, rows, six_trials, words

SCORES = ((0.9, 30.0), (0.8, 10.0), (0.85, 40.0), (0.89, 12.0))  # trial 2 is dominated by 0 and 3


def trials() -> list[TrialRecord]:
    made = []
    for number, (score, seconds) in enumerate(SCORES):
        one = completed(number, [score], [0.5], {LR: 1e-4, BATCH: 8})
        made.append(replace(one, outcome=replace(one.outcome, cost=replace(one.outcome.cost, seconds=seconds))))
    return [*made, replace(six_trials()[2], number=4)]


@pytest.fixture
def two(make: Callable[..., Store]) -> Store:
    """Return a study that was searched for accuracy and seconds, and whose winner was tested."""
    return make(trials(), settings=config(second_metric="cost/seconds"), ending=final(trials()[0]))


def pareto_of(facts: Facts) -> ParetoSet:
    found = pareto(facts)
    assert found is not None
    return found


def test_the_set_holds_the_trials_that_no_other_one_dominates(two: Store) -> None:
    found = pareto_of(read(two))
    assert [one.number for one in found.kept] == [0, 3, 1] and [one.number for one in found.trials] == [0, 3, 1, 2]
    assert (found.first_direction, found.second_direction) == ("maximize", "minimize")
    assert found.lead is found.kept[0] and found.lead.second == 30.0
    assert plain(analyse(read(two)))["pareto"]["trials"][1]["second"] == 12.0


def test_the_best_of_the_second_objective_within_reach_leads(make: Callable[..., Store]) -> None:
    facts = read(make(trials(), settings=config(second_metric="cost/seconds", choose_within=0.02)))
    assert pareto_of(facts).lead == pareto_of(facts).kept[1]
    text = part("pareto", facts)
    assert "Trial 3 leads: it is the best in `cost/seconds` among those that are at most 0.02 worse in" in text
    assert analyse(facts).trials.lead is None


def test_the_report_has_the_set_as_a_table_and_both_values_of_each_trial(two: Store) -> None:
    text = part("pareto", read(two))
    assert "3 of 4 completed trials are in the Pareto set of `eval/accuracy` and `cost/seconds`" in text
    assert "Trial 0 won: it is the best in `eval/accuracy` and, among equals, in `cost/seconds`." in text
    heads, _, *lines = [row[:3] for row in rows(text)]
    assert heads == ["trial", "eval/accuracy", "cost/seconds"]
    assert lines == [["0 (winner)", "0.9000", "30.0000"], ["3", "0.8900", "12.0000"], ["1", "0.8000", "10.0000"]]
    table = rows(part("trials", read(two)))
    assert table[0][:4] == ["trial", "eval/accuracy", "cost/seconds", "epoch"] and table[6][2] == "–"
    assert "3 trials are in the [Pareto set](#two-objectives)" in words(two)
    assert "maximize `eval/accuracy`, the best evaluation of a trial; minimize `cost/seconds` |" in words(two)
    assert (
        "          3 trials in the Pareto set of eval/accuracy and cost/seconds; the winner's cost/seconds is 30.0000"
        in (summary_lines(two))
    )


def test_the_figure_joins_the_set_and_marks_the_winner(two: Store) -> None:
    (panel,) = figures(charts(read(two)))["pareto"].panels
    line, points, ring, _ = panel.spec["layer"]
    assert [row["x"] for row in line["data"]["values"]] == [10.0, 12.0, 30.0]
    assert [row["what"] for row in panel.spec["data"]["values"]].count("dominated") == 1
    assert [row["trial"] for row in ring["data"]["values"]] == ["0 (winner)"] and "data" not in points


def test_the_study_s_run_has_the_set(two: Store) -> None:
    ending = study_ending(read(two), two.root / "report.md")
    assert [row["number"] for row in ending.tables["pareto"]] == [0, 3, 1]
    chart = next(one for one in ending.charts if one.name == "study/pareto")
    assert chart.kind == "points" and list(chart.rows[0]) == ["cost/seconds", "eval/accuracy"]
    summary = study_summary(read(two))
    assert (summary["study/pareto_trials"], summary["study/second_value"]) == (3, 30.0)


def test_a_second_metric_decides_between_equal_first_ones(make: Callable[..., Store]) -> None:
    same = [completed(number, [0.9], [0.5], {LR: 1e-4, BATCH: 8}) for number in range(2)]
    cheap = replace(same[1], outcome=replace(same[1].outcome, cost=replace(same[1].outcome.cost, seconds=3.0)))
    tie = analyse(read(make([same[0], cheap], settings=config(second_metric="cost/seconds")))).trials.tie
    assert tie is not None and (tie.winner, tie.by, tie.value, tie.lowest) == (1, "cost/seconds", 3.0, True)


def test_a_study_of_one_objective_has_no_pareto_set(store: Store) -> None:
    facts = read(store)
    assert pareto(facts) is None and "pareto" not in figures(charts(facts)) and part("pareto", facts) == ""
    assert not any("study/second" in name or "pareto" in name for name in study_summary(facts))
