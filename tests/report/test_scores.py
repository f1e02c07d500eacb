from __future__ import annotations

from dataclasses import replace

import pytest

from sweep.report.facts import read
from sweep.report.scores import against, beside_before, beside_guessing, lines
from sweep.report.summary import study_summary

from .conftest import LABELS, emotions, final, rows, six_trials, words

NAMES = ("accuracy", "loss")


def ended(make, **changes):
    """Facts and final record of a study whose winner has test/accuracy 0.84 on 100 rows: 0.7558 to 0.8990."""
    winner = six_trials()[1]
    facts = read(make([winner], ending=replace(final(winner), **changes)))
    assert facts.final is not None
    return facts, facts.final


@pytest.mark.parametrize(
    ("rule", "said"),
    [(0.11, "**Better than guessing**"), (0.8, "**No better than guessing**"), (0.95, "**Worse than guessing**")],
)
def test_guessing_is_weighed_against_the_interval(make, rule, said):
    sentence = beside_guessing(ended(make, baseline={"test/accuracy": rule})[0])
    assert sentence.startswith(f"{said} in accuracy: 0.8400 (0.7558 to 0.8990) against {rule:.4f} (")


@pytest.mark.parametrize(
    ("before", "said"),
    [(0.5, "**Training helped**"), (0.85, "**Training changed little**"), (0.95, "**Training did harm**")],
)
def test_so_is_the_model_before_training(make, before, said):
    facts, record = ended(make, before={"test/accuracy": before, "eval/accuracy": 0.4})
    assert beside_before(facts, record).startswith(said)
    assert ["test, before training", f"{before:.4f}", "–"] in rows(against(facts, record, NAMES))
    assert ["validation", "before training", "0.4000"] in [row[:3] for row in rows(words_of(facts))]


def words_of(facts):
    from sweep.report.headline import headline

    return headline(facts)


def test_a_model_that_could_not_classify_before_has_no_row(make):
    facts, record = ended(make)
    assert beside_before(facts, record) == ""
    assert {line.model for line in lines(facts, record)} == {"after training", "majority class"}


def test_differences_are_above_0_where_test_is_better(make):
    found = rows(against(*ended(make), NAMES))
    assert ["test against validation", "-0.0433", "-0.0300"] in found
    assert ["test against majority class", "+0.7300", "–"] in found


def test_tuned_thresholds_stand_beside_0_5(make):
    settings, ending = emotions()
    store = make([six_trials()[1]], settings=settings, ending=None, labels=LABELS[:3])
    store.write_final(ending)
    text = words(store)
    head = [row[:3] for row in rows(text.partition("\n## ")[0])]
    assert head[2:] == [
        ["validation", "after training, thresholds 0.5", "0.8633"],
        ["validation", "after training, tuned thresholds", "0.6000"],
        ["validation", "most frequent value of each label", "–"],
        ["test", "after training, tuned thresholds", "0.5000"],
        ["test", "after training, thresholds 0.5", "0.4000"],
        ["test", "most frequent value of each label", "0.0000"],
    ]
    assert "validation scores at them are optimistic" in text
    assert "Tuned thresholds raised test/f1_macro from 0.4000 at 0.5 to 0.5000" in text
    assert "test against validation | -0.1000 |" in text  # 0.5 against 0.6: both at the tuned thresholds
    found = study_summary(store)
    assert (found["untuned/test/f1_macro"], found["tuned/eval/f1_macro"], found["thresholds/refund"]) == (
        0.4,
        0.6,
        0.72,
    )
