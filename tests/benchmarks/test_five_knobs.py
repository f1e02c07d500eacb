"""Recorded trials over the five knobs, replayed."""

from __future__ import annotations

import pytest
from benchmarks.five_knob_tables import read, recorded
from benchmarks.five_knobs import RULES, Measured, Rule, hindsight
from benchmarks.replay import WITHIN

TABLE = read()
DEFAULT = RULES[0]


@pytest.mark.parametrize("name", recorded())
def test_the_recorded_trials_are_whole(name: str) -> None:
    table = read(name)
    assert len(table.curves) >= 20 and all(len(curve.losses) == len(curve.scores) for curve in table.curves)
    for curve in table.curves:
        assert curve.at[-1] == 8 * curve.params["trainer.num_train_epochs"] and len(curve.at) == len(curve.scores)
        assert all(table.space[key].domain.contains(value) for key, value in curve.params.items())


def test_progress_allows_for_warmup_and_length() -> None:
    for curve in TABLE.curves:
        shares = [curve.progress(place, curve.at[-1], at) for place, at in enumerate(curve.at)]
        assert shares == sorted(shares) and shares[-1] == 1
        early = curve.steps[0] / curve.steps[-1]
        assert curve.warmup_share <= early or shares[0] < early, "rates are still small"


def test_racing_completes_few_and_trains_most_a_little() -> None:
    for slots in (1, 8):
        run = DEFAULT.replayed(read("banking77_quickstart"), trials=10, slots=slots, seed=0)
        completed = sum(trained == curve.at[-1] for trained, curve in zip(run.lengths, run.curves, strict=True))
        assert 1 <= completed <= 4 and run.saved > 0.6


def test_racing_stops_for_good_where_scores_are_of_few_rows() -> None:
    stopping = next(rule for rule in RULES if rule.name == "racing that stops for good")
    assert DEFAULT.replayed(TABLE, trials=10, slots=8, seed=0) == stopping.replayed(TABLE, trials=10, slots=8, seed=0)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_pruner_completes_a_trial(rule: Rule) -> None:
    run = rule.replayed(TABLE, trials=6, slots=3, seed=1)
    assert run.scored and 0 <= run.saved < 1 and run.trials == 6
    measured = Measured.of("quickstart", [run], rule=rule.name, slots=3)
    assert measured.saved == run.saved and measured.behind == run.full - run.best


def test_no_rule_saves_more_rows_than_hindsight() -> None:
    table = read("banking77_quickstart")
    whole, raced = (rule.replayed(table, trials=10, slots=8, seed=0) for rule in (RULES[-1], DEFAULT))
    bound, opened = (hindsight(whole, table, opening) for opening in (0.0, 0.03))
    assert bound.regret <= WITHIN and bound.saved > opened.saved
    assert raced.regret <= WITHIN and raced.saved <= bound.saved
