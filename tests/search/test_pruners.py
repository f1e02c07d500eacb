"""Optuna's pruners as the project makes them, on scores by hand."""

from __future__ import annotations

from math import inf
from typing import Any

import optuna
import pytest
from optuna.pruners import BasePruner, HyperbandPruner
from optuna.storages import InMemoryStorage
from optuna.trial import Trial, TrialState

from sweep.config.domains import Choices
from sweep.config.schema import StudyConfig
from sweep.config.space import Parameter, Space
from sweep.search.pruners import never_stopped, pruner, trials_of_each

STEPS = (1, 2, 4, 8, 16, 24)  # in eighths of an epoch: those of three epochs with early evaluations


def stopped(config: StudyConfig, count: int, *, at_once: bool) -> bool:
    """Return whether the pruner stops one of `count` trials. Each trial is worse than the one
    before, and worse at each evaluation."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", pruner=pruner(config))
    if at_once:
        trials = [study.ask() for _ in range(count)]
        return any(reported(trial, step) for step in STEPS for trial in trials)
    return any(ended(study, study.ask()) for _ in range(count))


def ended(study: optuna.Study, trial: Trial) -> bool:
    pruned = any(reported(trial, step) for step in STEPS)
    study.tell(trial, None if pruned else score(trial, 1), state=TrialState.PRUNED if pruned else TrialState.COMPLETE)
    return pruned


def reported(trial: Trial, step: int) -> bool:
    trial.report(score(trial, step), step)
    return trial.should_prune()


def score(trial: Trial, step: int) -> float:
    return -100.0 * trial.number - step


@pytest.mark.parametrize(("name", "given", "most"), [
    ("racing", {"finalists": 1}, 1),
    ("racing", {"finalists": 5, "reduction_factor": 1.1}, 5),
    ("median", {}, 2),
    ("median", {"n_startup_trials": 0}, 1),
    ("median", {"n_startup_trials": 1, "n_min_trials": 4}, 4),
    ("percentile", {"percentile": 50.0, "n_startup_trials": 3}, 3),
    ("patient", {}, 2),
    ("patient", {"patience": 3}, 2),
    ("successive_halving", {}, 1),
    ("successive_halving", {"bootstrap_count": 2}, 0),
    ("hyperband", {"max_resource": 2}, 1),
])  # fmt: skip
def test_the_most_trials_of_which_none_is_stopped(name: Any, given: dict[str, Any], most: int) -> None:
    config = StudyConfig(pruner=name, pruner_options=given)
    assert never_stopped(config) == most
    assert not stopped(config, most, at_once=False) and not stopped(config, most, at_once=True)
    assert stopped(config, most + 1, at_once=False)


def judged(study: optuna.Study, asked: BasePruner) -> object:
    """Return what a pruner goes by after it has judged a trial."""
    trial = study.ask()
    trial.report(0.5, 1)
    asked.prune(study, trial._get_latest_trial())
    study.tell(trial, state=TrialState.FAIL)
    return asked._n_brackets if isinstance(asked, HyperbandPruner) else vars(asked)["_min_resource"]


def completed(study: optuna.Study, steps: int) -> None:
    trial = study.ask()
    for step in range(1, steps + 1):
        trial.report(0.5, step)
    study.tell(trial, 0.5)


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize(
    ("name", "options", "found"), [("hyperband", {}, 2), ("successive_halving", {"min_resource": "auto"}, 1)]
)
def test_a_pruner_judges_alike_in_a_later_process(
    monkeypatch: pytest.MonkeyPatch, name: Any, options: dict[str, Any], found: int, kept: bool
) -> None:
    """A later trial is longer than all before it. The first write may fail with its
    transaction."""
    config, study = StudyConfig(pruner=name, pruner_options=options), optuna.create_study(direction="maximize")
    first = pruner(config)
    assert judged(study, first) is None, "no trial has completed"
    completed(study, 3)
    with monkeypatch.context() as patched:
        if not kept:
            patched.setattr(InMemoryStorage, "set_study_system_attr", lambda *_: None)
        assert judged(study, first) == found
    completed(study, 300)
    assert [judged(study, one) for one in (first, pruner(config), pruner(config))] == [found] * 3


def test_without_a_pruner_none_is_stopped() -> None:
    config = StudyConfig(pruner="none")
    assert never_stopped(config) == inf and not stopped(config, 40, at_once=False)


@pytest.mark.parametrize(("trials", "kept"), [(3, 3), (6, 3), (7, 4), (9, 5), (10, 1), (40, 1)])
def test_racing_keeps_half_of_fewer_than_ten_trials(trials: int, kept: int) -> None:
    """Each trial is worse than the one before it."""
    assert never_stopped(StudyConfig(pruner="racing", n_trials=trials)) == kept
    config = StudyConfig(pruner="racing", n_trials=trials, pruner_options={"finalists": 2})
    assert never_stopped(config) == 2, "what the user says holds"


def test_each_choice_of_a_group_run_has_its_own_race() -> None:
    space = Space((Parameter("adapter", Choices(("lora", "ia3"))),))
    config = StudyConfig(pruner="racing", n_trials=18, compare_by="adapter")
    assert trials_of_each(config, space) == 9 and never_stopped(config, 9) == 5
    assert trials_of_each(config.model_copy(update={"compare_by": None}), space) == 18
    assert trials_of_each(config.model_copy(update={"compare_by": None, "sampler": "grid"}), space) == 2
