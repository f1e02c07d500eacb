"""Racing by non-dominated rank, on scores written by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import optuna
import pytest
from optuna.trial import Trial

from sweep.search.racing import RacingPruner
from sweep.search.ranks import RankedPruner, non_dominated_ranks, ranked_trials, report


@pytest.fixture
def study() -> optuna.Study:
    """Return a study that maximises its first objective and minimises its second one."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(directions=["maximize", "minimize"])


def scored(study: optuna.Study, *pairs: Sequence[float]) -> Trial:
    """Return a running trial that has reported a pair of scores at steps 1, 2, …"""
    trial = study.ask()
    for step, pair in enumerate(pairs, 1):
        report(trial, pair, step)
    return trial


def stopped(study: optuna.Study, trial: Trial, finalists: int = 1) -> bool:
    return RankedPruner(RacingPruner(finalists=finalists)).prune(study, study.get_trials()[trial.number])


def ranks(study: optuna.Study) -> list[dict[int, float]]:
    return [one.intermediate_values for one in ranked_trials(study.get_trials(), study.directions)]


def test_ranks_are_layers_of_points_that_no_other_one_dominates() -> None:
    points = [(1.0, 5.0), (2.0, 2.0), (5.0, 1.0), (3.0, 3.0), (4.0, 4.0), (2.0, 2.0)]
    assert non_dominated_ranks(points) == [0, 0, 0, 1, 2, 0]


def test_each_step_has_the_negative_rank_as_its_score(study: optuna.Study) -> None:
    scored(study, (0.9, 10.0), (0.8, 20.0))
    scored(study, (0.5, 1.0), (0.9, 2.0))
    scored(study, (0.4, 2.0))
    assert ranks(study) == [{1: 0.0, 2: -1.0}, {1: 0.0, 2: 0.0}, {1: -1.0}]


def test_a_trial_is_ranked_among_the_first_scores_at_its_step_or_later(study: optuna.Study) -> None:
    late = study.ask()
    report(late, (0.9, 1.0), 2)
    scored(study, (0.5, 2.0))
    assert ranks(study) == [{2: 0.0}, {1: -1.0}]


def test_a_score_that_is_no_number_is_worse_than_any(study: optuna.Study) -> None:
    scored(study, (math.nan, 5.0))
    scored(study, (0.1, 5.0))
    assert ranks(study) == [{1: -1.0}, {1: 0.0}]


def test_racing_goes_by_the_rank_and_never_leaves_the_pareto_set_behind(study: optuna.Study) -> None:
    for score in (0.9, 0.8, 0.7, 0.6, 0.5):
        scored(study, (score, score * 10))  # all of them in the Pareto set
    cheap = scored(study, (0.1, 0.5))
    dominated = scored(study, (0.45, 9.5))
    assert not stopped(study, cheap)
    assert stopped(study, dominated)
    assert not stopped(study, dominated, finalists=7)


def test_a_step_that_is_reported_again_has_the_newest_scores(study: optuna.Study) -> None:
    trial = scored(study, (0.1, 9.0))
    report(trial, (0.7, 3.0), 1)
    scored(study, (0.6, 4.0))
    assert ranks(study) == [{1: 0.0}, {1: -1.0}]


def test_one_objective_is_reported_to_optuna_alone() -> None:
    trial = optuna.create_study().ask()
    report(trial, [0.5], 1)
    assert trial.study.trials[0].intermediate_values == {1: 0.5} and trial.user_attrs == {}
