"""The sentences of a report on a refit: the model that each score belongs to, and the cost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from support.reports import summary_lines
from sweep.analysis.facts import read
from sweep.analysis.summary import study_summary
from sweep.records.final import FinalRecord, Refit

from .conftest import LABELS, config, cost, emotions, final, rows, section, six_trials, words

REFIT = Refit(rows=600, steps=150, total_steps=225, cost=cost(30.0, 150, 0.77), tracker_run="run-refit")


def ended(**changes: Any) -> FinalRecord:
    return replace(final(six_trials()[1]), refit=REFIT, **changes)


@pytest.fixture
def text(make) -> str:
    return words(make(six_trials(), settings=config(refit=True), ending=ended()))


def test_the_first_lines_say_which_model_was_tested(text):
    head = text.partition("\n## ")[0]
    assert "Refitted on train and validation rows together, it scores **test/accuracy 0.8400" in head
    assert "refitted on train and validation rows together (600), so no validation score of it exists" in head
    assert "are of the same configuration trained on the train rows alone" in head
    assert [row[:3] for row in rows(head)[2:]] == [
        ["validation", "after training", "0.8833"],
        ["validation", "majority class", "0.1000"],
        ["test", "after the refit", "0.8400"],
        ["test", "majority class", "0.1100"],
    ]
    assert "**Missing so far**" in head and "refit" not in head.partition("**Missing so far**")[2]


def test_its_length_is_reported_beside_the_retraining(text):
    part = section(text, "The winner, trial 1, and its retraining")
    assert "The model kept is" not in part
    assert "Its validation scores are those of epoch 2 (step 120), the best of 3 evaluations." in part
    assert "600 rows, 150 of the 225 steps of its schedule, since the retraining was best at epoch 2; 30.00 s" in part
    assert "mean training loss 0.7700" in part and "run-refit" in part


def test_test_is_held_against_the_retraining_and_that_is_said(text):
    part = section(text, "On the test split")
    assert ["test against validation", "-0.0433"] in [row[:2] for row in rows(part)]
    assert (
        "Validation accuracy, 0.8833 of the model trained on the train rows alone, lies inside the interval of test"
        in part
    )


def test_it_is_part_of_the_cost(text):
    spent = rows(section(text, "What it cost"))
    assert ["refit", "150", "1,200", "3e+11", "3.00 GiB", "0.7700"] in spent
    assert ["in all", "122.0"] in [row[:2] for row in spent]  # 92 s without it
    assert "8 training runs took" in text


def test_published_figures_are_held_against_what_they_were_before(make, text):
    plain = words(make(six_trials(), settings=config(), ending=replace(ended(), refit=None)))
    one, other = (section(each, "Published beside measured") for each in (text, plain))
    added = [line for line in one.splitlines() if line not in other.splitlines()]
    assert added == [
        "- The test scores here are of the refit on train and validation rows; the figures of the final training are of "
        "the retraining on train rows alone."
    ]


def test_the_places_of_all_files(text):
    part = section(text, "How to repeat it")
    assert ["`final/refit/events.jsonl`"] in [row[:1] for row in rows(part)]
    assert "The winner's refitted model" in part


def test_tuned_thresholds_are_of_the_retraining(make):
    settings, ending = emotions()
    store = make([six_trials()[1]], settings=settings, labels=LABELS[:3])
    store.write_final(replace(ending, refit=REFIT))
    text = words(store)
    assert "tuned on validation, for the model trained on the train rows alone" in text
    assert ["test", "after the refit, tuned thresholds", "0.5000"] in [row[:3] for row in rows(text)]
    assert ["test against thresholds 0.5", "+0.1000"] in [row[:2] for row in rows(text)]
    assert ["test against validation", "-0.1000"] in [row[:2] for row in rows(text)]


def test_the_terminal_and_the_dashboard_tell_of_it(make):
    store = make(six_trials(), settings=config(refit=True), ending=ended())
    lines = summary_lines(store)
    assert any(line.split()[:4] == ["test", "after", "the", "refit"] for line in lines)
    assert any("test is of the model kept, refitted on train and validation rows (600)" in line for line in lines)
    found = study_summary(read(store))
    assert {name: found[f"refit/{name}"] for name in ("rows", "steps", "seconds", "train_loss")} == {
        "rows": 600, "steps": 150, "seconds": 30.0, "train_loss": 0.77,
    }  # fmt: skip
    assert read(store).spent.seconds == 122.0


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        (None, "the retraining and refit of the winner and its scores on the test split"),
        (replace(ended(), refit=None), "the refit of the winner on train and validation rows, and its scores on"),
    ],
)
def test_missing_parts_of_a_refit_are_named(make, ending, said):
    assert said in words(make(six_trials(), settings=config(refit=True), ending=ending))
