"""The engines that trained the trials, and their effect on the retraining."""

from __future__ import annotations

from dataclasses import replace

from sweep.analysis.facts import read
from sweep.records.trial import Cost, Failed, FailureReason, total

from .conftest import cost, final, part, section, six_trials, words


def trained(*engines):
    return tuple(
        replace(trial, outcome=replace(trial.outcome, cost=replace(trial.outcome.cost, engine=engine)))
        for trial, engine in zip(six_trials(), engines, strict=True)
    )


def test_the_cost_says_what_trained_the_trials(make):
    text = section(words(make(trained(*["packed"] * 4, "trainer", "frozen"))), "What it cost")
    assert "4 of 6 trials were trained packed (several at once on one frozen base), 1 by the Trainer" in text
    assert "A packed trial's seconds are its share of the time" in text


def test_one_engine_needs_fewer_words(make):
    text = section(words(make(trained(*["trainer"] * 6))), "What it cost")
    assert "All 6 trials were trained by the Trainer (one at a time)." in text
    assert "share of the time" not in text


def test_records_that_tell_no_engine_say_nothing(make):
    assert "were trained" not in section(words(make(six_trials())), "What it cost")


def test_a_packed_winner_was_retrained_by_the_trainer(make):
    def said(*engines, retrained="trainer", as_packed=False):
        trials = trained(*engines)
        ending = final(trials[1])
        ending = replace(
            ending,
            cost=replace(ending.cost, engine=retrained),
            as_packed=as_packed,
            retrain_evals=tuple(
                replace(point, metrics={**point.metrics, "eval/loss": point.metrics["eval/loss"] + 2e-6})
                for point in ending.retrain_evals
            ),
        )
        return part("winner", read(make(trials, ending=ending)))

    text = said(*["packed"] * 6)
    assert "The trial was packed with others, and the retraining ran alone on the Trainer engine" in text
    assert "only rounding differs. Largest difference between trial and retraining: 2e-06, in eval/loss" in text
    text = said(*["packed"] * 6, as_packed=True)
    assert "It dropped the same values, so that only rounding differs. Largest difference" in text
    assert "packed" not in said("packed", "trainer", *["packed"] * 4)


def test_a_sum_of_costs_names_every_engine():
    parts = [replace(cost(1.0, 1), engine=engine) for engine in ("packed", "trainer", "packed", "")]
    assert total([total(parts[:2]), total(parts[2:])]).engine == "packed, trainer"
    assert total(parts).account["cost/engine"] == "packed, trainer"
    assert "cost/engine" not in cost(1.0, 1).account


def test_the_cost_of_a_lost_trial_is_not_known(make):
    lost = Failed(FailureReason.LOST, "the process ended before the trial did", (), Cost())
    trials = (*six_trials()[:5], replace(six_trials()[5], outcome=lost))
    text = words(make(trials))
    assert "not counting 1 trial lost" in text
    costs = section(text, "What it cost")
    assert "| trial 5, lost | – | – | – |" in costs and "0.0 | 0.0" not in costs
    assert "What 1 trial had cost when the process ended is not known, and in no sum." in costs
    assert "5 trials took" in costs
