"""Failures and limits as samplers see them: simulated searches, without training."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.samplers import NSGAIISampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweep.config.schema import SamplerName, StudyConfig
from sweep.config.space import Space
from sweep.records.cost import Cost
from sweep.records.trial import Completed, EvalPoint, Failed, FailureReason, Outcome, Pruned
from sweep.search.constraints import OUTCOME, LearningSampler, constrain, failure_constraints, shown
from sweep.search.samplers import plain_sampler, sampler
from sweep.study.trial_groups import OwnSampler

RATE, ADAPTER = "optimizer.learning_rate", "adapter"
RANGE = FloatDistribution(1e-5, 1e-1, log=True)
MAXIMIZE = [optuna.study.StudyDirection.MAXIMIZE]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def diverges(rate: float) -> bool:
    """Return whether a rate is in the upper half of the range."""
    return rate > 1e-3


def end(study: optuna.Study, trial: optuna.Trial, *, failed: bool) -> None:
    rate = trial.params[RATE]
    if not failed:
        study.tell(trial, 1 - 0.1 * abs(math.log10(rate) + 3.6))
        return
    trial.set_user_attr(OUTCOME, "diverged")
    constrain(study._storage, trial._trial_id, {"diverged": 1.0})
    study.tell(trial, state=TrialState.FAIL)


def shares(name: SamplerName, trials: int, seeds: int, make: Callable[..., Any] = sampler) -> list[float]:
    """Return the shares of points in the half that diverges, of each third of the searches' trials
    after the four random ones."""
    found = [_search(StudyConfig(sampler=name, seed=seed), trials, make)[4:] for seed in range(seeds)]
    size = (trials - 4) // 3
    return [sum(sum(asked[part * size : (part + 1) * size]) for asked in found) / (size * seeds) for part in range(3)]


def _search(config: StudyConfig, trials: int, make: Callable[..., Any]) -> list[bool]:
    study, asked = optuna.create_study(direction="maximize"), []
    for place in range(trials):
        study.sampler = make(config, Space(), place)
        trial = study.ask({RATE: RANGE})
        asked.append(diverges(trial.params[RATE]))
        end(study, trial, failed=asked[-1])
    return asked


def test_tpe_asks_less_and_less_where_trials_diverge() -> None:
    first, _, last = shares("tpe", 34, seeds=3)
    assert last < first < 0.5 and last < 0.2
    assert shares("tpe", 22, 1, plain_sampler)[2] > last + 0.2  # without the view it learns nothing of failures


def test_cmaes_takes_a_failure_for_the_worst_score() -> None:
    first, _, last = shares("cmaes", 28, seeds=1)
    assert last < 0.2 and last <= first


@pytest.mark.slow
def test_the_gaussian_process_asks_less_and_less_where_trials_diverge() -> None:
    first, _, last = shares("gp", 22, seeds=2)
    assert last <= first < 0.4 and last < 0.2


def known(rates: list[float], sampler_of: optuna.samplers.BaseSampler) -> optuna.Study:
    study = optuna.create_study(direction="maximize", sampler=RandomSampler(seed=0))
    for rate in rates:
        study.enqueue_trial({RATE: rate})
        end(study, study.ask({RATE: RANGE}), failed=diverges(rate))
    study.sampler = sampler_of
    return study


def test_the_gaussian_process_keeps_away_from_failures() -> None:
    rates = [1e-5, 6e-5, 1e-4, 4e-4, 2e-3, 1e-2, 6e-2]
    for seed in range(2):
        study = known(rates, sampler(StudyConfig(sampler="gp", seed=seed), Space(), 7))
        assert not diverges(study.ask({RATE: RANGE}).params[RATE])


def test_with_compare_by_each_value_learns_from_its_own_failures() -> None:
    study, late = optuna.create_study(direction="maximize"), []
    for place in range(48):
        value = ("lora", "ia3")[place % 2]
        study.sampler = OwnSampler(sampler(StudyConfig(), Space(), place, place // 2), ADAPTER, value)
        study.enqueue_trial({ADAPTER: value})
        trial = study.ask({ADAPTER: CategoricalDistribution(("lora", "ia3")), RATE: RANGE})
        high = diverges(trial.params[RATE])
        if place >= 24:
            late.append((value, high))
        end(study, trial, failed=high if value == "lora" else not high)
    for value, failing in (("lora", True), ("ia3", False)):
        found = [high for one, high in late if one == value]
        assert found.count(failing) / len(found) < 0.4


def test_the_users_own_nsga2_learns_by_constraints_and_scores() -> None:
    rates = [1e-5 * 10 ** (index / 2) for index in range(8)]
    study = known(rates, LearningSampler(NSGAIISampler(population_size=4, seed=0), "both"))
    ends = shown(study.get_trials(), MAXIMIZE, "both")
    values = {trial.number: trial.values[0] for trial in ends}
    failed = {number for number, rate in enumerate(rates) if diverges(rate)}
    assert max(values[number] for number in failed) < min(values[number] for number in values.keys() - failed)
    assert {trial.number for trial in ends if max(trial.constraints.values()) > 0} == failed
    study.ask({RATE: RANGE})


def ended(state: TrialState, value: float | None = None, outcome: str = "", **constraints: float) -> FrozenTrial:
    made = create_trial(state=state, value=value, params={RATE: 1e-3}, distributions={RATE: RANGE},
                        constraints=constraints or None)  # fmt: skip
    made.user_attrs = {OUTCOME: outcome} if outcome else {}
    return made


def numbered(*trials: FrozenTrial) -> list[FrozenTrial]:
    for number, trial in enumerate(trials):
        trial.number = number
    return list(trials)


GOOD, FAIL = ended(TrialState.COMPLETE, 0.9), TrialState.FAIL


@pytest.mark.parametrize("outcome", ["lost", "interrupted", "crashed", "disk_failed", ""])
def test_failures_that_are_not_the_points_teach_nothing(outcome: str) -> None:
    trials = numbered(GOOD, ended(FAIL, outcome=outcome))
    assert shown(trials, MAXIMIZE, "constraints") is trials


@pytest.mark.parametrize("outcome", ["diverged", "out_of_memory", "timed_out", "infeasible"])
def test_a_failure_of_an_earlier_version_teaches_by_its_reason(outcome: str) -> None:
    seen = shown(numbered(ended(TrialState.COMPLETE, 0.9), ended(FAIL, outcome=outcome)), MAXIMIZE, "constraints")
    assert [trial.state for trial in seen] == [TrialState.COMPLETE] * 2
    assert [trial.constraints for trial in seen] == [{outcome: -1.0}, {outcome: 1.0}]
    assert seen[1].values == [0.9]


def test_before_a_trial_has_ended_well_only_a_measured_excess_teaches() -> None:
    trials = numbered(ended(FAIL, outcome="diverged"), ended(FAIL, outcome="infeasible", **{"eval.loss": 0.5}))
    seen = shown(trials, MAXIMIZE, "constraints")
    assert [trial.state for trial in seen] == [FAIL, TrialState.COMPLETE]
    assert seen[1].constraints == {"eval.loss": 0.5}


def test_all_completed_trials_have_the_same_constraints() -> None:
    seen = shown(
        numbered(
            ended(TrialState.COMPLETE, 0.8, size=-0.5, latency=-0.2),
            ended(FAIL, outcome="diverged", size=-0.5, diverged=0.4),
            ended(FAIL, outcome="infeasible", size=1000.0),
            ended(TrialState.PRUNED, None, size=-0.1),
        ),
        MAXIMIZE,
        "constraints",
    )
    assert [list(trial.constraints) for trial in seen[:3]] == [["diverged", "latency", "size"]] * 3
    assert seen[1].constraints == {"diverged": 0.4, "latency": -0.2, "size": -0.5}
    assert 1 < seen[2].constraints["size"] < 10
    assert seen[3].constraints == {"size": -0.1}


def test_a_trial_beyond_a_limit_keeps_its_score_and_a_failed_one_has_the_worst() -> None:
    over = ended(FAIL, outcome="infeasible", size=0.5)
    over.intermediate_values = {1: 0.7, 2: 0.95, 3: math.nan}
    bad = ended(FAIL, outcome="diverged", diverged=1.0)
    bad.intermediate_values = {1: 0.99}
    trials = numbered(ended(TrialState.COMPLETE, 0.8), ended(TrialState.COMPLETE, 0.6), over, bad)
    assert [trial.values for trial in shown(trials, MAXIMIZE, "constraints")[2:]] == [[0.95], [0.6]]
    worse = [trial.values[0] for trial in shown(trials, MAXIMIZE, "scores")[2:]]
    assert 0.6 > worse[0] > worse[1]
    assert all(not trial.constraints for trial in shown(trials, MAXIMIZE, "scores"))
    lower = shown(trials, [optuna.study.StudyDirection.MINIMIZE], "scores")
    assert lower[3].values[0] > lower[2].values[0] > 0.8


def test_a_failure_has_a_score_in_each_of_several_objectives() -> None:
    directions = [optuna.study.StudyDirection.MAXIMIZE, optuna.study.StudyDirection.MINIMIZE]
    pair = [create_trial(values=values, params={RATE: 1e-3}, distributions={RATE: RANGE})
            for values in ([0.9, 5.0], [0.7, 3.0])]  # fmt: skip
    seen = shown(numbered(*pair, ended(FAIL, outcome="diverged")), directions, "constraints")
    assert seen[2].values == [0.7, 5.0] and seen[2].constraints == {"diverged": 1.0}


@pytest.mark.parametrize("name", ["qmc", "random", "grid"])
def test_samplers_that_do_not_learn_see_the_study_itself(name: SamplerName) -> None:
    assert not isinstance(sampler(StudyConfig(sampler=name), Space(), 0), LearningSampler)


POINT = EvalPoint(1, 10, 1.0, {"eval/accuracy": 0.5})


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Completed(POINT, (POINT,), Cost()), {}),
        (Pruned((), Cost()), {}),
        (Failed(FailureReason.LOST, "", (), Cost(), given_up=True), {}),
        (Failed(FailureReason.OUT_OF_MEMORY, "", (), Cost(steps=3)), {"out_of_memory": 1.0}),
        (Failed(FailureReason.TIMED_OUT, "", (), Cost(steps=25)), {"timed_out": 3.0}),
        (Failed(FailureReason.DIVERGED, "", (), Cost(steps=50)), {"diverged": 0.55}),
        (Failed(FailureReason.INFEASIBLE, "", (), Cost()), {"infeasible": 1.0}),
        (Failed(FailureReason.INFEASIBLE, "", (), Cost(), excess={"eval.loss": 0.2}), {"eval.loss": 0.2}),
    ],
)
def test_an_outcome_breaks_the_constraint_of_its_reason(outcome: Outcome, expected: dict[str, float]) -> None:
    assert failure_constraints(outcome, 100) == pytest.approx(expected)
