from __future__ import annotations

from dataclasses import replace

from sweep.report.facts import read
from sweep.report.published import matches, published

from .conftest import BATCH, LR, PUBLISHED, config, final, six_trials, words
from .test_write import rows, section


def test_published_stands_beside_measured(reported):
    text = section(words(reported), "Published beside measured")
    assert ["0", "0.0001", "8", "0", "1.5000", "1.4000", "0.6000", "0.6125"] in rows(text)
    assert ["1 (best)", "0.0007", "8", "not run", "0.7000", "–", "0.8800", "–"] in rows(text)
    assert ["0", "published", "0.4000", "0.5000", "0.6000"] in rows(text)
    assert ["0", "measured (trial 0)", "0.4100", "0.5200", "0.6125"] in rows(text)
    assert ["steps", "180", "180"] in rows(text)
    assert ["seconds, with evaluations", "20.50", "21.88"] in rows(text)
    assert ["samples/s, with evaluations", "70.200", "65.829"] in rows(text)
    assert ["test/accuracy", "0.8765", "0.8400", "-0.0365"] in rows(text)


def test_what_differs_is_named(reported):
    text = section(words(reported), "Published beside measured").partition("### What differs")[2]
    assert "published with `someone/bigger-model`, measured with `org/small-model`" in text
    assert "Rows of test: published 99, here 100." in text
    assert "1 published trial not run with the published values: 1." in text
    assert "Largest difference among the trials that ran: -0.1000, in eval/loss of published trial 0." in text
    assert "Nothing else is known." in text


def test_a_trial_matches_by_its_published_values_alone():
    first = six_trials()[0]
    more = replace(first, params={LR: 1e-4 * (1 + 1e-9), BATCH: 8, "adapter.r": 4})
    other = replace(first, params={LR: 1e-4, BATCH: 16})
    assert matches(PUBLISHED, [other, more]) == (more, None)


def test_without_published_figures_there_is_no_section(make):
    trials = six_trials()
    settings = config().model_copy(update={"published": None})
    facts = read(make(trials, settings=settings, ending=final(trials[1])))
    assert published(facts) == ""


def test_before_the_retraining_the_final_figures_are_said_to_be_missing(make):
    assert "Retraining and test are still missing here" in published(read(make(six_trials())))
