from __future__ import annotations

from dataclasses import replace

import pytest

from sweep.analysis.facts import read
from sweep.analysis.scores import TestScores, scores
from sweep.analysis.summary import study_summary

from .conftest import LABELS, config, emotions, final, part, rows, sentences, six_trials, words


def ended(make, **changes):
    """Facts of a study whose winner has test/accuracy 0.84 on 100 rows: 0.7558 to 0.8990."""
    winner = six_trials()[1]
    return read(make([winner], ending=replace(final(winner), **changes)))


def known(facts) -> TestScores:
    found = scores(facts)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("rule", "said"),
    [(0.11, "**Better than guessing**"), (0.8, "**No better than guessing**"), (0.95, "**Worse than guessing**")],
)
def test_guessing_is_weighed_against_the_interval(make, rule, said):
    (sentence,) = sentences("scores", "against_guessing", known(ended(make, baseline={"test/accuracy": rule})))
    assert sentence.startswith(f"{said} in accuracy: 0.8400 (0.7558 to 0.8990) against {rule:.4f} (")


@pytest.mark.parametrize(
    ("before", "said"),
    [(0.5, "**Training helped**"), (0.85, "**Training changed little**"), (0.95, "**Training did harm**")],
)
def test_so_is_the_model_before_training(make, before, said):
    facts = ended(make, before={"test/accuracy": before, "eval/accuracy": 0.4})
    (sentence,) = sentences("scores", "before_training", known(facts))
    assert sentence.startswith(said)
    assert ["test, before training", f"{before:.4f}", "–"] in against(facts)
    assert ["validation", "before training", "0.4000"] in [row[:3] for row in rows(part("headline", facts))]


def against(facts) -> list[list[str]]:
    """Return the rows beside the test scores: name, accuracy and loss."""
    return [row[:3] for row in rows("\n".join(sentences("scores", "against", known(facts))))]


def test_a_model_that_could_not_classify_before_has_no_row(make):
    found = known(ended(make))
    assert found.before is None
    assert {line.model for line in found.lines} == {"trained", "guess"}


def test_a_metric_of_the_users_own_that_is_minimized_is_better_when_lower(make):
    winner = six_trials()[1]
    ending = replace(final(winner), test={"test/errors": 0.2}, before={"test/errors": 0.7})
    settings = config(metric="eval/errors", direction="minimize")
    gains = known(read(make([winner], settings=settings, ending=ending))).gains
    assert [gain.metrics["errors"] for gain in gains if gain.than.model == "before"] == pytest.approx([0.5])


def test_differences_are_above_0_where_test_is_better(make):
    found = against(ended(make))
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
    found = study_summary(read(store))
    assert (found["untuned/test/f1_macro"], found["tuned/eval/f1_macro"], found["thresholds/refund"]) == (
        0.4,
        0.6,
        0.72,
    )
