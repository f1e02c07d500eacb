from __future__ import annotations

from dataclasses import replace

from sweep.config.schema import PublishedConfig, PublishedParameters, PublishedTraining, PublishedTrial
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


ONE = PublishedConfig(
    trials=(
        PublishedTrial(params={LR: 1.5e-3, BATCH: 16}, eval={"eval/loss": 0.6512}, best={"eval/accuracy": 0.81432}),
    ),
    parameters=PublishedParameters(total=30_000_000, trainable=250_000),
    before={"test/accuracy": 0.1},
    train=PublishedTraining(
        seconds_per_epoch=6.5, train_loss_first=2.2, train_loss_last=0.4, train_loss_by_epoch=(1.9, 0.9, 0.5, 0.4)
    ),
    eval_samples_per_second=367.6,
    device="P100",
)


def beside(make, known, **changed):
    """The section, of a study whose winner is trial 1."""
    trials = six_trials()
    ending = final(trials[1])
    ending = replace(ending, cost=replace(ending.cost, eval_samples=500, device="cpu"), **changed)
    settings = config().model_copy(update={"published": known})
    return published(read(make(trials, settings=settings, ending=ending)))


def test_one_published_setting_stands_beside_its_trial_key_by_key(make):
    found = rows(beside(make, ONE, before={"test/accuracy": 0.125}))
    assert ["what", "published", "measured, trial 1", "difference"] in found
    assert [f"`{LR}`", "0.0015", "0.0015", "0"] in found
    assert ["eval/loss", "0.6512", "0.6100", "-0.0412"] in found
    assert ["eval/accuracy, best", "0.81432", "0.8833", "+0.0690"] in found
    assert ["test/accuracy, before fine-tuning", "0.1000", "0.1250", "+0.0250"] in found
    assert ["parameters", "30,000,000", "22,700,000"] in found
    assert ["parameters trained", "250,000", "227,000"] in found
    assert ["device", "P100", "cpu"] in found
    assert ["seconds an epoch", "6.50", "7.29"] in found
    assert ["evaluation, samples/s", "367.60", "160.00"] in found
    assert ["training loss, first logged", "2.2000", "2.0571"] in found
    assert ["published", "1.9000", "0.9000", "0.5000", "0.4000"] in found
    assert next(row for row in found if row[0] == "measured")[-1] == "–"


def test_what_was_not_measured_is_a_dash(make):
    assert ["test/accuracy, before fine-tuning", "0.1000", "–", "–"] in rows(beside(make, ONE))


def test_where_little_was_published_little_is_shown(make):
    text = beside(make, PublishedConfig(trials=(PublishedTrial(eval={"eval/loss": 0.7}),)))
    assert "### The published setting" in text and "### What differs" in text
    assert not any(title in text for title in ("### Final training", "### Test", "### Before", "### Best trial"))


def test_a_search_around_the_published_setting_says_what_it_found(make):
    known = PublishedConfig(trials=(PublishedTrial(params={LR: 1e-4, BATCH: 8}),))
    assert "a better setting than the published one: trial 1, eval/accuracy 0.8833" in beside(make, known)


def test_what_differs_is_named(reported):
    text = section(words(reported), "Published beside measured").partition("### What differs")[2]
    assert "published with `someone/bigger-model`, measured with `org/small-model`" in text
    assert "Rows of test: published 99, here 100." in text
    assert "Published trials that did not run here with their own values: 1." in text
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
