"""Notes of a plan on `study.stop`."""

from __future__ import annotations

import pytest

from support.plans import QUICK
from sweep.plan.plan import make_plan

STOPS = [QUICK, "study.n_trials=20", "study.stop.patience=5"]
PAUSES = "study.pruner_options={budget: 0.3}"  # with few validation rows too


def test_where_trials_are_paused_a_rule_saves_no_trial() -> None:
    (note,) = (note for note in make_plan([*STOPS, PAUSES]).notes if "study.stop" in note)
    assert note == (
        "study.stop is set, but study.pruner=racing begins all 20 trials before one completes, and trains at most 30 % of "
        "their steps in all: a rule saves what is left of these when it holds, and no trial; with study.pruner=median it "
        "saves whole trials"
    )


@pytest.mark.parametrize("arguments", [[], [PAUSES, "study.snapshots=never"], ["study.pruner=median"]])
def test_where_none_is_paused_nothing_is_noted(arguments: list[str]) -> None:
    assert not [note for note in make_plan([*STOPS, *arguments]).notes if "study.stop" in note]
