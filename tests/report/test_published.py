from __future__ import annotations

from dataclasses import replace

from sweep.analysis.facts import read
from sweep.analysis.published import matches
from sweep.config.published import PublishedConfig, PublishedParameters, PublishedTraining, PublishedTrial
from sweep.records.trial import Completed, EvalPoint, Step

from .conftest import BATCH, LR, PUBLISHED, config, cost, final, part, six_trials, words
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
    return part("published", read(make(trials, settings=settings, ending=ending)))


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


BY_EPOCH = PublishedConfig(
    trials=(PublishedTrial(params={LR: 1.5e-3, BATCH: 16}, eval_by_epoch={"eval/accuracy": (0.5, 0.6, 0.7)}),),
    train=PublishedTraining(train_loss_by_epoch=(1.9, 0.9, 0.5)),
)


def evaluated_at(make, *epochs):
    """The rows of the section, of a winner that scored its epoch / 10, sixty steps an epoch. Its
    training loss is the number of its epoch in the first half of each, and two more in the second.
    """
    points = tuple(
        EvalPoint(index, round(60 * epoch), epoch, {"eval/accuracy": epoch / 10, "eval/loss": 1.0})
        for index, epoch in enumerate(epochs, 1)
    )
    trials = list(six_trials())
    trials[1] = replace(trials[1], outcome=Completed(best=points[-1], evals=points, cost=cost(24.0, 180)))
    settings = config().model_copy(update={"published": BY_EPOCH})
    facts = read(make(trials, settings=settings, ending=final(trials[1])))
    steps = range(10, points[-1].step + 1, 10)
    losses = {step: (step - 1) // 60 + (1.0 if (step - 1) % 60 < 30 else 3.0) for step in steps}
    logged = tuple(Step(step, 180, step / 60, {"train/loss": loss}) for step, loss in losses.items())
    return rows(part("published", replace(facts, training={1: logged})))


def test_figures_of_epochs_stand_beside_those_of_epochs_whatever_was_evaluated(make):
    ends = ["epoch 1", "epoch 2", "epoch 3"]
    for epochs in ((1.0, 2.0, 3.0), (0.125, 0.25, 0.5, 1.0, 2.0, 3.0), (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)):
        found = evaluated_at(make, *epochs)
        assert ["published trial", "eval/accuracy", *ends] in found
        assert ["0", "published", "0.5000", "0.6000", "0.7000"] in found
        assert ["0", "measured (trial 1)", "0.1000", "0.2000", "0.3000"] in found
        assert ["training loss", *ends] in found
        assert ["measured", "2.0000", "3.0000", "4.0000"] in found


def test_an_epoch_without_an_evaluation_at_its_end_has_no_score_and_one_that_did_not_end_no_figure(make):
    found = evaluated_at(make, 0.75, 1.5, 2.25)
    assert ["0", "measured (trial 1)", "–", "–", "–"] in found
    assert ["measured", "2.0000", "3.0000", "–"] in found
    assert ["0", "measured (trial 1)", "0.1000", "–", "–"] in evaluated_at(make, 1.0, 1.3)


def test_a_value_that_was_not_measured_is_a_dash(make):
    assert ["test/accuracy, before fine-tuning", "0.1000", "–", "–"] in rows(beside(make, ONE))


def test_where_little_was_published_little_is_shown(make):
    text = beside(make, PublishedConfig(trials=(PublishedTrial(eval={"eval/loss": 0.7}),)))
    assert "### The published setting" in text and "### What differs" in text
    assert not any(title in text for title in ("### Final training", "### Test", "### Before", "### Best trial"))


def test_a_search_around_the_published_setting_says_what_it_found(make):
    known = PublishedConfig(trials=(PublishedTrial(params={LR: 1e-4, BATCH: 8}),))
    assert "a better setting than the published one: trial 1, eval/accuracy 0.8833" in beside(make, known)


def test_differences_are_named(reported):
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
    assert part("published", facts) == ""


def test_before_the_retraining_the_final_figures_are_said_to_be_missing(make):
    assert "Retraining and test are still missing here" in part("published", read(make(six_trials())))
