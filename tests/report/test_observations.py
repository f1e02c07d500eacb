from __future__ import annotations

import math
from dataclasses import replace

import pytest

from sweep.analysis import observations
from sweep.analysis.facts import Point, read
from sweep.analysis.trials import trials as analysed
from sweep.config.metrics import evaluated
from sweep.config.schema import Config, DatasetConfig
from sweep.records.trial import Failed, FailureReason, Pruned

from .conftest import completed, cost, evals, part, sentences, six_trials, trial


def points(accuracies, losses=None, train=None):
    found = evals(accuracies, losses or [1.0] * len(accuracies))
    return tuple(Point(point, train[place] if train else None) for place, point in enumerate(found))


def moved(found, metric, *, maximize, ended=True):
    moved = observations.movement(found, metric, maximize=maximize, ended=ended)
    macros = ("not_finite", "movement", "plateau")
    return [line for macro in macros for line in sentences("observations", macro, moved)]


def fit(found):
    fitted = observations.fit(found)
    return [line for macro in ("turn", "gap") for line in sentences("observations", macro, fitted)]


def ending(record, found):
    return "".join(sentences("observations", "ending", observations.ending(record, found)))


def agreement(first, again):
    return "".join(
        sentences(
            "observations",
            "agreement",
            observations.agreement(first, again, evaluated(Config(dataset=DatasetConfig(path="data/toy")))),
        )
    )


def test_no_evaluation():
    assert moved((), "eval/accuracy", maximize=True) == ["No evaluation was reached."]
    assert fit(()) == []


def test_one_evaluation():
    assert moved(points([0.5]), "eval/accuracy", maximize=True) == ["One evaluation with eval/accuracy: 0.5000."]
    assert fit(points([0.5])) == []


def test_evaluations_without_the_metric():
    assert moved(points([0.5, 0.6]), "eval/jaccard", maximize=True) == [
        "2 evaluations, none of them with eval/jaccard."
    ]


@pytest.mark.parametrize(
    ("accuracies", "said"),
    [
        (
            [0.2, 0.5, 0.8],
            "Still improving when it ended, so longer training may help: the last evaluation brought +0.3000, "
            "50.0 % of the whole gain.",
        ),
        (
            [0.2, 0.79, 0.8],
            "Near its plateau when it ended: the last evaluation brought +0.0100, 1.67 % of the whole gain.",
        ),
        ([0.2, 0.8, 0.7], "No gain after evaluation 2 of 3: the last one is 0.1000 worse than the best."),
        ([0.5, 0.4, 0.5], "No gain after evaluation 1 of 3: the last one is equal to the best."),
        ([0.5, 0.5], "eval/accuracy stayed at 0.5000 in all 2 evaluations."),
    ],
)
def test_convergence(accuracies, said):
    assert moved(points(accuracies), "eval/accuracy", maximize=True)[-1] == said


@pytest.mark.parametrize(
    ("accuracies", "said"),
    [
        (
            [0.1, 0.3, 0.6, 0.8, 0.85, 0.88],
            "Still improving when it ended, so longer training may help: the last evaluation brought +0.0300, "
            "37.5 % of the gain since the first epoch.",
        ),
        (
            [0.1, 0.3, 0.6, 0.8, 0.88],
            "Two evaluations since the first epoch are too few to see a plateau: the second brought +0.0800.",
        ),
        (
            [0.1, 0.3, 0.6, 0.61],
            "Near its plateau when it ended: the last evaluation brought +0.0100, 1.96 % of the whole gain.",
        ),
        ([0.1, 0.3, 0.6, 0.5, 0.5], "No gain after evaluation 3 of 5: the last one is 0.1000 worse than the best."),
    ],
)
def test_gains_of_the_first_epoch_make_no_plateau(accuracies, said):
    at = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 3.0)
    early = tuple(
        replace(point, eval=replace(point.eval, epoch=epoch))
        for point, epoch in zip(points(accuracies), at, strict=False)
    )
    assert moved(early, "eval/accuracy", maximize=True)[-1] == said


def test_a_best_score_that_came_twice_is_said_to_have_come_first_then():
    assert "best 0.5000 first at evaluation 1." in moved(points([0.5, 0.4, 0.5]), "eval/accuracy", maximize=True)[0]
    assert "best 0.6000 at evaluation 2." in moved(points([0.5, 0.6]), "eval/accuracy", maximize=True)[0]


def test_a_pruned_trial_is_not_advised_to_train_longer(make):
    (stopped,) = (one for one in six_trials() if isinstance(one.outcome, Pruned))
    first = six_trials()[0]
    pruned = replace(first, number=1, outcome=Pruned(first.outcome.evals, stopped.outcome.cost))
    found = analysed(read(make([first, pruned]))).rows
    assert [one.movement.plateau is not None for one in found] == [True, False]


def test_a_loss_improves_downwards():
    sentences = moved(points([0.5, 0.6], [2.0, 1.5]), "eval/loss", maximize=False)
    assert (
        sentences[0]
        == "eval/loss fell from 2.0000 (evaluation 1) to 1.5000 (evaluation 2); best 1.5000 at evaluation 2."
    )
    assert sentences[1] == "Two evaluations are too few to see a plateau: the second brought -0.5000."


def test_values_that_are_not_finite_are_named_and_left_out():
    sentences = moved(points([0.2, math.nan, 0.4, math.inf]), "eval/accuracy", maximize=True)
    assert sentences[0] == "eval/accuracy was not a finite number at evaluation 2, 4."
    assert "from 0.2000 (evaluation 1) to 0.4000 (evaluation 3)" in sentences[1]
    nothing = moved(points([math.nan]), "eval/accuracy", maximize=True)
    assert nothing == ["eval/accuracy was not a finite number at evaluation 1."]


def test_overfitting_is_a_turn_of_the_loss():
    turned, gap = fit(points([0.5] * 3, [1.0, 0.8, 1.0], train=[1.5, 0.7, 0.2]))
    assert turned == "A sign of overfitting: eval/loss turned after evaluation 2, from 0.8000 up to 1.0000 (+25.0 %)."
    assert gap == (
        "The gap, eval/loss less training loss, grew from -0.5000 to +0.8000 between evaluations 1 and 3 (1.0000 against "
        "0.2000): at the end the model fits the rows it trains on better than new ones."
    )


def test_a_wide_gap_without_a_turn_is_a_warning():
    warned, gap = fit(points([0.5] * 3, [1.0, 0.8, 0.7], train=[1.5, 0.7, 0.2]))
    assert warned.startswith("No overfitting yet: eval/loss was lowest, 0.7000, at the last evaluation, though by then")
    assert "0.5000 above the training loss" in warned
    narrow, gap = fit(points([0.5] * 2, [1.0, 0.8], train=[0.9, 0.8]))
    assert narrow.startswith("No sign of overfitting")
    assert "shrank from +0.1000 to 0 between" in gap
    assert gap.endswith("no better than new ones.")


def test_a_loss_that_keeps_falling_shows_no_turn():
    assert fit(points([0.5] * 2, [1.0, 0.8])) == [
        "No sign of overfitting: eval/loss was lowest, 0.8000, at the last evaluation."
    ]


def test_the_spread_of_the_trials(make):
    scores = [0.5, 0.9, 0.6]
    store = make([completed(n, [one], [1.0], {}) for n, one in enumerate(scores)])
    assert (
        "The 3 completed trials scored from 0.5000 to 0.9000 in eval/accuracy; the best is 0.3000 better than the median, "
        "0.6000."
    ) in part("trials", read(store))


def test_two_trials_have_no_spread(make):
    assert analysed(read(make([completed(n, [0.5 + n / 10], [1.0], {}) for n in range(2)]))).spread is None


def test_endings_say_how_far_the_trial_came():
    _, _, pruned, diverged, memory, interrupted = six_trials()
    assert ending(pruned, points([0.09])).startswith("Pruned after evaluation 1, 60 of 180 steps")
    assert "“loss is nan at step 61”" in ending(diverged, points([0.3, 0.25]))
    assert ending(memory, ()) == (
        r"Ran out of memory (before its first evaluation, 3 of 180 steps, with the message “asked for 2 GiB \| had 1”)."
    )
    assert "to be tried again on resuming" in ending(interrupted, points([0.5]))


def test_a_trial_that_was_given_up_is_said_to_have_been_lost_three_times():
    lost = Failed(FailureReason.LOST, "the worker ended", (), cost(20, 60), given_up=True)
    said = ending(trial(0, {}, lost), points([0.5]))
    assert said == (
        "Given up: three times its process or worker died before the trial had got any further "
        "(after evaluation 1, 60 of 180 steps)."
    )


@pytest.mark.parametrize("reason", FailureReason)
def test_every_failure_has_words(reason):
    assert ending(trial(0, {}, Failed(reason, "", (), cost(1, 1))), ())


def test_a_trial_of_the_planned_length_needs_no_words_about_its_end():
    assert ending(six_trials()[0], points([0.5])) == ""
    assert ending(trial(0, {}, Pruned((), cost(1, 5))), ()).startswith(
        "Pruned before its first evaluation, 5 of 180 steps"
    )


def test_agreement():
    first = points([0.5, 0.6])
    assert agreement(first, first).startswith(
        "The retraining repeats the trial exactly: largest difference 0, 8 values"
    )
    moved = tuple(replace(p, eval=replace(p.eval, metrics={"eval/accuracy": 0.55})) for p in first)
    said = agreement(first, moved[:1])
    assert "0.05, in eval/accuracy at evaluation 1" in said
    assert "They differ in length: 2 and 1 evaluations." in said
    assert agreement((), first) == "Trial and retraining have no evaluation in common to compare."
