"""The quickstart's recorded trials, replayed."""

from __future__ import annotations

import pytest
from benchmarks.five_knobs import RULES, Measured, Rule, read
from benchmarks.replay import replay

TABLE = read()


def test_the_recorded_trials_are_whole() -> None:
    assert len(TABLE.curves) == 40 and TABLE.epochs == 6
    for curve in TABLE.curves:
        assert curve.at[-1] == 8 * curve.params["trainer.num_train_epochs"] and len(curve.at) == len(curve.scores)
        assert all(TABLE.space[key].domain.contains(value) for key, value in curve.params.items())


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.spared], ids=lambda rule: rule.name)
def test_no_trial_ends_within_its_warmup(rule: Rule) -> None:
    for seed in range(4):
        run = replay(TABLE, rule.policy, trials=10, slots=8, seed=seed)
        for trained, curve in zip(run.lengths, run.curves, strict=True):
            assert trained > curve.warmup_share * curve.at[-1]


def test_half_of_a_small_study_ends_its_first_epoch() -> None:
    default = next(rule for rule in RULES if rule.name == "racing (default)")
    for trials, slots in ((6, 1), (7, 7), (9, 2)):
        runs = [replay(TABLE, default.policy, trials=trials, slots=slots, seed=seed) for seed in range(10)]
        found = Measured.of(runs, 1 / 139, rule=default.name, slots=slots)
        assert 2 * found.first_epochs >= trials
