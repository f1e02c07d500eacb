"""The end of a trial in Optuna, and the outcome that is read back from it."""

from __future__ import annotations

import optuna

from sweep.config.schema import StudyConfig
from sweep.records.trial import Completed, EvalPoint
from sweep.study.attributes import recovered_outcome


def test_of_evaluations_with_equal_scores_the_one_with_the_lowest_loss_is_found_again() -> None:
    losses = (0.7, 0.5, 0.6)
    evals = tuple(
        EvalPoint(place, 10 * place, float(place), {"eval/accuracy": 0.5, "eval/loss": loss})
        for place, loss in enumerate(losses, start=1)
    )
    outcome = recovered_outcome(optuna.trial.create_trial(value=0.5), evals, StudyConfig())
    assert isinstance(outcome, Completed) and outcome.best is evals[1] and outcome.evals == evals
