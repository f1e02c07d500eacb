"""The engines that trained the trials, and their effect on the retraining."""

from __future__ import annotations

from dataclasses import replace

from support.reports import summary_lines
from sweep.analysis.cost import spending
from sweep.analysis.facts import read
from sweep.analysis.plain import plain
from sweep.analysis.study import analyse
from sweep.records.cost import Cost, total
from sweep.records.device_time import DeviceTime
from sweep.records.spent import Spent, write_spent
from sweep.records.trial import Failed, FailureReason

from .conftest import config, cost, final, part, section, six_trials, words


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


def test_a_trial_that_moved_counts_on_each_of_its_workers(make):
    def moved(trial, *devices):
        spent = replace(trial.outcome.cost, worker=devices[-1].worker, devices=devices)
        return replace(trial, outcome=replace(trial.outcome, cost=spent))

    one, two = DeviceTime("A100", "node", "node/0", 18.0), DeviceTime("H100", "node", "node/1", 6.0)
    first, second, *others = six_trials()
    ending = final(first)
    ending = replace(ending, cost=replace(ending.cost, devices=(replace(two, seconds=ending.cost.seconds),)))
    facts = make((moved(first, one, two), moved(second, two), *others), ending=ending)
    known = {(each.worker, each.device): (each.runs, each.seconds) for each in spending(read(facts)).workers}
    assert known[("node/0", "A100")] == (1, 18.0)
    assert known[("node/1", "H100")] == (3, 12.0 + ending.cost.seconds)
    assert known[("", "A CPU")][0] == len(others)
    table = section(words(facts), "What it cost")
    assert "| node/0 | node | A100 | 1 | 18.0 |" in table and "| inline | – | A CPU |" in table
    written = plain(analyse(read(facts)))["cost"]["workers"]
    assert {"worker": "node/0", "host": "node", "device": "A100", "seconds": 18.0, "runs": 1} in written


def test_one_device_of_this_process_needs_no_table(make):
    assert spending(read(make(six_trials()))).workers == ()


def test_a_budget_says_what_was_used_up_and_what_is_left(make):
    store = make(six_trials(), settings=config(budget={"trials": 6, "device_hours": 1.5, "seconds": 7200}))
    write_spent(store.root, Spent(seconds=600.0, device_seconds=1440.0, trials=6))
    costs = section(words(store), "What it cost")
    assert "The search used up 0.4 of 1.5 device hours (`study.budget.device_hours`): 1.1 are left." in costs
    assert "And 600 of 7,200 seconds (`study.budget.seconds`): 6,600 are left." in costs
    assert "And 6 of 6 trials (`study.budget.trials`): nothing is left." in costs
    study = analyse(read(store))
    assert [(one["key"], one["spent"], one["left"]) for one in plain(study)["budget"]] == [
        ("device_hours", 0.4, 1.1), ("seconds", 600.0, 6600.0), ("trials", 6, 0.0),
    ]  # fmt: skip
    assert "Budget    0.4 of 1.5 device hours used up, 1.1 left" in summary_lines(store)
    assert "budget" not in section(words(make(six_trials())), "What it cost")
