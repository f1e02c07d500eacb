from __future__ import annotations

from dataclasses import replace

import pytest

from sweep.analysis.facts import read
from sweep.analysis.hyperparameters import effects, importances

from .conftest import BATCH, LR, completed, config, part, rows, six_trials


def study(number: int):
    """The score rises with the learning rate; the batch size does nothing; `adapter.r` belongs to
    every other trial."""
    return [
        completed(
            n,
            [0.1, 0.2 + 0.05 * n],
            [2.0, 1.0],
            {LR: 1e-5 * 2**n, BATCH: (8, 16)[n // 2 % 2], **({"adapter.r": 4 + n} if n % 2 else {})},
        )
        for n in range(number)
    ]


def test_few_trials_give_correlations_and_no_importance(make):
    facts = read(make(study(5)))
    assert importances(facts) == {}
    rate, batch, r = effects(facts)
    assert (rate.trials, round(rate.correlation or 0, 6), rate.p) == (5, 1.0, 2 / 120)
    assert batch.trials == 5
    assert (r.trials, r.correlation) == (2, None)
    text = part("hyperparameters", facts)
    assert "That is few, so no importance is given below 8." in text
    assert f"`{LR}`: higher values scored better (rank correlation +1.00 over 5 trials, p = 0.017)" in text
    assert "`adapter.r`: nothing can be said from 2 completed trials with it." in text


def test_means_by_choice(make):
    batch = next(effect for effect in effects(read(make(study(4)))) if effect.key == BATCH)
    assert {one.name: (round(one.mean, 6), one.trials) for one in batch.choices} == {
        "8": (0.225, 2),
        "16": (0.325, 2),
    }


def test_enough_trials_give_importances_that_sum_to_one(make):
    found = importances(read(make(study(10))))
    assert set(found) == {LR, BATCH}
    assert abs(sum(found.values()) - 1) < 1e-9
    assert found[LR] > found[BATCH]


def test_a_best_value_inside_the_range_shows_where_correlation_does_not(make):
    scores = [0.2, 0.5, 0.8, 0.9, 0.82, 0.4, 0.1]
    trials = [completed(n, [score], [1.0], {LR: 10.0 ** (n - 7), BATCH: 8}) for n, score in enumerate(scores)]
    text = part("hyperparameters", read(make(trials)))
    assert "lower values tended to score better, but no more clearly than chance would" in text
    assert "the best 2 trials lie from 0.0001 to 0.001, of 1e-07 to 0.1 tried" in text


def test_values_enqueued_outside_the_space_are_allowed(make):
    trials = [*study(9), completed(9, [0.3], [1.0], {LR: 0.5, BATCH: 32})]
    assert set(importances(read(make(trials)))) == {LR, BATCH}


def test_lower_is_better_when_the_study_minimises(make):
    trials = [completed(n, [0.5], [2.0 - 0.1 * n], {LR: 1e-5 * 2**n, BATCH: 8}) for n in range(5)]
    facts = read(make(trials, settings=config(metric="eval/loss", direction="minimize")))
    text = part("hyperparameters", facts)
    assert f"`{LR}`: higher values scored better (rank correlation -1.00" in text
    assert f"`{BATCH}`: always 8 in 5 completed trials, so its effect is unknown" in text


def test_values_that_moved_together_are_named(make):
    trials = [completed(n, [0.5 + 0.01 * n], [1.0], {LR: 1e-5 * 2**n, BATCH: 8 * 2**n}) for n in range(5)]
    text = part("hyperparameters", read(make(trials)))
    assert f"`{LR}` and `{BATCH}` moved together in these trials (rank correlation +1.00)" in text


@pytest.mark.parametrize(
    ("rate", "said"), [(0.0099, "0.0099 lies at the upper end"), (1.01e-5, "at the lower end"), (1e-3, ""), (0.5, "")]
)
def test_a_winner_at_the_end_of_its_range_is_pointed_out(make, rate, said):
    text = part("hyperparameters", read(make([completed(0, [0.5], [1.0], {LR: rate, BATCH: 8})])))
    assert ("of the searched range, 1e-05 to 0.01" in text) == bool(said)
    assert said in text


def test_a_range_that_starts_at_nothing_has_no_wider_one_below(make):
    store = make([completed(0, [0.5], [1.0], {"optimizer.weight_decay": 0.0})])
    space = {"optimizer.weight_decay": {"low": 0.0, "high": 0.1}}
    facts = read(store)
    facts = replace(facts, lock=replace(facts.lock, space=space))
    assert "searched range" not in part("hyperparameters", facts)


def test_nothing_completed(make):
    text = part("hyperparameters", read(make(six_trials()[3:])))
    assert "That is too few to say what a hyperparameter did" in text
    assert "|" not in text


def test_too_few_trials_give_no_direction(make):
    text = part("hyperparameters", read(make(study(4))))
    assert "directions are shown from 5 completed trials, importances from 8" in text
    assert "scored better" not in text
    assert rows(text)[0] == ["hyperparameter", "trials", "tried", "best so far"]
    assert rows(text)[2] == [f"`{LR}`", "4", "1e-05 to 8e-05", "8e-05"]
