"""Options of samplers and pruners: what is refused, and that the rest can be used."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from sweep.config.domains import Choices, Range
from sweep.config.schema import StudyConfig
from sweep.config.space import Parameter, Space
from sweep.plan.plan import make_plan
from sweep.search.options import option_faults, trial_faults

RATE, EPOCHS, DECAY = "optimizer.learning_rate", "trainer.num_train_epochs", "optimizer.weight_decay"
SPACE = Space((
    Parameter(RATE, Range(1e-4, 1e-2, log=True)), Parameter(EPOCHS, Range(2, 6)), Parameter("adapter", Choices(("lora", "ia3"))),
    Parameter(DECAY, Range(0.0, 0.1), {"adapter": ("lora",)}),
))  # fmt: skip


def sampled(name: Any, **options: Any) -> dict[str, str]:
    config = StudyConfig(sampler=name, sampler_options=options)
    return dict([*option_faults(config), *trial_faults(config, SPACE)])


def pruned(name: Any, **options: Any) -> dict[str, str]:
    config = StudyConfig(pruner=name, pruner_options=options)
    return dict([*option_faults(config), *trial_faults(config, SPACE)])


@pytest.mark.parametrize(("sampler", "options", "part"), [
    ("tpe", {"gamma": 5}, "a Python object in Optuna"),
    ("tpe", {"weights": "abc"}, "a Python object in Optuna"),
    ("tpe", {"constraints_func": 5}, "a Python object in Optuna"),
    ("tpe", {"n_ei_candidates": 0}, "is 0, but must be at least 1"),
    ("tpe", {"n_ei_candidates": 2.5}, "is 2.5, but must be a whole number"),
    ("tpe", {"n_ei_candidates": 10**12}, "must be at most 10000"),
    ("tpe", {"n_startup_trials": -1}, "must be at least 0"),
    ("tpe", {"n_startup_trials": True}, "is True, but must be a whole number"),
    ("tpe", {"n_startup_trials": None}, "is None, but must be a whole number"),
    ("tpe", {"multivariate": 1}, "must be true or false or null"),
    ("tpe", {"prior_weight": -1}, "must be at least 0"),
    ("tpe", {"prior_weight": "x"}, "must be a number or null"),
    ("gp", {"n_startup_trials": 3.5}, "must be a whole number"),
    ("gp", {"independent_sampler": "random"}, "a Python object in Optuna"),
    ("cmaes", {"sigma0": "abc"}, "must be a number or null"),
    ("cmaes", {"sigma0": -1}, "must be above 0"),
    ("cmaes", {"popsize": 0}, "must be at least 2"),
    ("cmaes", {"x0": 5}, "must be a mapping"),
    ("cmaes", {"restart_strategy": "nope"}, "has no effect"),
    ("cmaes", {"inc_popsize": 2}, "has no effect"),
    ("tpe", {"consider_prior": False}, "has no effect"),
    ("qmc", {"scramble": 1}, "must be true or false"),
    ("random", {"a": 1}, "there are: none"),
])  # fmt: skip
def test_options_of_the_wrong_kind_or_range_are_refused(sampler: Any, options: dict[str, Any], part: str) -> None:
    ((path, rule),) = sampled(sampler, **options).items()
    assert path == f"study.sampler_options.{next(iter(options))}" and part in rule


@pytest.mark.parametrize(("pruner", "options", "part"), [
    ("hyperband", {"reduction_factor": 1}, "must be at least 2"),
    ("hyperband", {"reduction_factor": 2.5}, "must be a whole number"),
    ("hyperband", {"min_resource": -1}, "must be at least 1"),
    ("hyperband", {"max_resource": 2, "min_resource": 5}, "must be at least min_resource, which is 5"),
    ("hyperband", {"max_resource": 3.5}, "must be a text or a whole number"),
    ("successive_halving", {"reduction_factor": 2.5}, "must be a whole number"),
    ("successive_halving", {"min_early_stopping_rate": 10**9}, "must be at most 100"),
    ("median", {"n_startup_trials": 1.5}, "must be a whole number"),
    ("median", {"interval_steps": 0}, "must be at least 1"),
    ("percentile", {"percentile": True}, "must be a number"),
    ("patient", {"patience": 2.5}, "must be a whole number"),
    ("racing", {"finalists": 2.5}, "must be a whole number"),
    ("racing", {"min_resource": 0.5}, "must be a whole number"),
])  # fmt: skip
def test_pruners_count_in_whole_numbers(pruner: Any, options: dict[str, Any], part: str) -> None:
    ((path, rule),) = pruned(pruner, **options).items()
    assert path == f"study.pruner_options.{next(iter(options))}" and part in rule


@pytest.mark.parametrize(("sampler", "options"), [
    ("tpe", {"n_startup_trials": 500, "multivariate": True, "group": True}),
    ("tpe", {"n_startup_trials": 0, "prior_weight": 2}),
    ("cmaes", {"sigma0": 0.1, "popsize": 2, "x0": {RATE: 1e-3, EPOCHS: 4, DECAY: 0.0}}),
    ("cmaes", {"with_margin": True, "n_startup_trials": 0}),
    ("qmc", {"qmc_type": "halton", "scramble": True}),
    ("gp", {"deterministic_objective": True}),
])  # fmt: skip
def test_options_that_make_sense_are_taken(sampler: Any, options: dict[str, Any]) -> None:
    assert sampled(sampler, **options) == {}


@pytest.mark.parametrize(("pruner", "options"), [
    ("hyperband", {"max_resource": "auto", "min_resource": 2}),
    ("successive_halving", {"min_resource": "auto"}),
    ("patient", {"patience": 0, "min_delta": 0.01}),
    ("racing", {"reduction_factor": 1.5, "finalists": 1}),
])  # fmt: skip
def test_pruners_that_make_sense_are_taken(pruner: Any, options: dict[str, Any]) -> None:
    assert pruned(pruner, **options) == {}


@pytest.mark.parametrize(("start", "part"), [
    ({RATE: 1e-3}, "lacks trainer.num_train_epochs, optimizer.weight_decay"),
    ({RATE: 1.0, EPOCHS: 4, DECAY: 0.0}, "has optimizer.learning_rate = 1.0, but the search space allows 0.0001 to 0.01"),
    ({RATE: 1e-3, EPOCHS: "x", DECAY: 0.0}, "has trainer.num_train_epochs = 'x'"),
    ({RATE: 1e-3, EPOCHS: 4, DECAY: 0.0, "adapter": "lora"}, "names adapter, which is no searched range"),
])  # fmt: skip
def test_a_start_is_a_point_of_the_space(start: dict[str, Any], part: str) -> None:
    assert part in sampled("cmaes", x0=start)["study.sampler_options.x0"]


@pytest.mark.parametrize(("options", "part"), [
    ({"popsize": 2, "sigma0": 1.0, "use_separable_cma": True, "with_margin": True}, "is refused: "),
    ({"lr_adapt": True, "with_margin": True}, "is refused: "),
])  # fmt: skip
def test_options_that_optuna_refuses_are_reported(options: dict[str, Any], part: str) -> None:
    assert part in sampled("cmaes", **options)["study.sampler_options"]


def test_an_option_of_racing_that_is_0_is_not_taken_for_one_that_is_not_given() -> None:
    assert "reduction_factor is 0, but must be above 1" in pruned("racing", reduction_factor=0)["study.pruner_options"]


def test_an_error_of_a_sampler_at_a_draw_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that no rule foresees: here the limit of a rule is taken away."""
    monkeypatch.setattr("sweep.search.options._LEAST", {})
    assert "AssertionError: popsize" in sampled("cmaes", popsize=0)["study.sampler_options"]


def test_a_plan_tells_it() -> None:
    from sweep.errors import UserError

    with pytest.raises(UserError) as caught:
        make_plan(
            [
                "+experiment=quickstart",
                "study.sampler=cmaes",
                "study.sampler_options={x0: {optimizer.learning_rate: 1}}",
            ]
        )
    assert {fault.path for fault in caught.value.faults} == {"study.sampler_options.x0"}
    assert all(fault.origin == "the command line" for fault in caught.value.faults)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes", "qmc"])
def test_a_draw_imports_no_torch(sampler: str) -> None:
    options = (
        "study.sampler_options={n_startup_trials: 0}" if sampler != "qmc" else "study.sampler_options={scramble: true}"
    )
    code = (
        "import sys; from sweep.plan.plan import make_plan; "
        f"make_plan(['+experiment=quickstart', 'study.sampler={sampler}', '{options}']); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
