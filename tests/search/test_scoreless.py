from __future__ import annotations

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers import TPESampler
from optuna.trial import TrialState

from sweep.search.ranks import report
from sweep.search.scoreless import ScorelessSampler


def test_tpe_samples_beside_pruned_trials_of_two_objectives() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    study.sampler = ScorelessSampler(TPESampler(n_startup_trials=2, seed=0))
    for number in range(6):
        trial = study.ask({"x": FloatDistribution(0, 1)})
        report(trial, (float(number), 1.0), 1)
        if number % 2:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, [float(number), 1.0])
    assert [trial.intermediate_values for trial in study.trials] == [{1: float(number)} for number in range(6)]
    study.sampler = TPESampler(n_startup_trials=2, seed=0)
    with pytest.raises(RuntimeError, match="single direction"):  # the reason for the view
        study.ask({"x": FloatDistribution(0, 1)})
