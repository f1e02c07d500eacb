"""The packed engine against the Trainer: trials with any settings get the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.packs import CLOSE, assert_alike, both
from sweep.config.names import OptimizerName
from sweep.config.optimizers import OPTIMIZERS
from sweep.data.tokenise import TokenisedData
from sweep.records.trial import Completed, EvalPoint, Pruned, Step, TrialPlan, Verdict

Plan = Callable[..., TrialPlan]
IA3 = {"method": "ia3"}

SETTINGS: list[dict[str, Any]] = [
    {"optimizer": {"learning_rate": 2e-2, "weight_decay": 0.5, "warmup_steps": 4, "lr_scheduler_type": "cosine"}},
    {"optimizer": {"warmup_steps": 0.2, "lr_scheduler_type": "constant_with_warmup", "adam_beta1": 0.8}},
    {"optimizer": {"lr_scheduler_type": "constant", "adam_beta2": 0.9, "adam_epsilon": 1e-3}},
    {"optimizer": {"name": "adamw_torch_fused", "weight_decay": 0.1}},
    {"optimizer": {"name": "paged_adamw_32bit", "weight_decay": 0.1}},
    {"optimizer": {"name": "sgd", "learning_rate": 0.1, "optim_args": "momentum=0.9,nesterov=true"}},
    {"optimizer": {"name": "rmsprop", "optim_args": {"alpha": 0.9, "centered": True}}},
    {"optimizer": {"name": "adagrad", "optim_args": {"lr_decay": 0.01}, "lr_scheduler_type": "inverse_sqrt"}},
    {"optimizer": {"name": "adafactor", "weight_decay": 0.1, "lr_scheduler_type": "polynomial"}},
    {"optimizer": {"lr_scheduler_type": "cosine_with_restarts", "lr_scheduler_kwargs": {"num_cycles": 2}}},
    {
        "optimizer": {
            "lr_scheduler_type": "warmup_stable_decay",
            "warmup_steps": 2,
            "lr_scheduler_kwargs": {"num_decay_steps": 4, "decay_type": "linear"},
        }
    },
    {"optimizer": {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": '{"min_lr_rate": 0.2}'}},
    {"trainer": {"train_sampling_strategy": "random", "num_train_epochs": 1.5, "seed": 3}},
    {"trainer": {"gradient_accumulation_steps": 3, "per_device_train_batch_size": 4}},
    {"trainer": {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 7, "num_train_epochs": 1.5}},
    {"trainer": {"per_device_train_batch_size": 13, "per_device_eval_batch_size": 3}},  # 40 = 3 * 13 + 1
    {"trainer": {"per_device_train_batch_size": 64, "num_train_epochs": 5, "logging_steps": 2}},
    {"trainer": {"max_grad_norm": 0.0, "label_smoothing_factor": 0.1, "eval_strategy": "steps", "eval_steps": 3}},
    {"trainer": {"max_grad_norm": 0.05, "seed": 7, "eval_strategy": "no", "num_train_epochs": 0.5}},
    {"trainer": {"class_weights": "balanced", "gradient_accumulation_steps": 2, "per_device_train_batch_size": 7}},
    {"trainer": {"focal_gamma": 2.0, "class_weights": (1.0, 2.0, 3.0, 0.5), "label_smoothing_factor": 0.1}},
    {"trainer": {"logit_adjustment_tau": 1.0, "gradient_accumulation_steps": 3, "per_device_train_batch_size": 4}},
    {"trainer": {"gradient_checkpointing": True}},
    {"adapter": {"r": 3, "lora_alpha": 1.5, "use_rslora": True}},
    {"adapter": {"r": 24, "target_modules": ("key", "output.dense")}},
    {"adapter": {"target_modules": "all-linear", "r": 1}},
    {"adapter": IA3},
    {"adapter": {**IA3, "target_modules": ("query", "intermediate.dense"), "feedforward_modules": ()}},
    {"adapter": {**IA3, "target_modules": "all-linear"}, "optimizer": {"learning_rate": 5e-2}},
    {"dataset": {"max_length": 5}},
    {"study": {"metric": "eval/loss", "direction": "minimize"}, "optimizer": {"learning_rate": 5e-2}},
]


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("sections", SETTINGS, ids=str)
def test_every_setting_means_what_it_means_to_the_trainer(
    trial: Plan, data: TokenisedData, tmp_path: Path, sections: dict[str, Any]
) -> None:
    """The trial trains beside one with other settings, which ends earlier."""
    mate = trial(1, trainer={"per_device_train_batch_size": 10, "num_train_epochs": 1, "seed": 1}, adapter={"r": 4})
    assert_alike(*both(trial(0, **sections), mate, data=data, folder=tmp_path))


def mixed(trial: Plan) -> list[TrialPlan]:
    """Return trials that differ in all that belongs to a trial alone."""
    return [
        trial(0, adapter={"r": 4, "lora_alpha": 8.0}, optimizer={"learning_rate": 1e-3},
              trainer={"num_train_epochs": 4}),
        trial(1, adapter={"r": 16, "target_modules": ("query", "key", "value")},
              optimizer={"learning_rate": 2e-3, "lr_scheduler_type": "cosine", "warmup_steps": 3, "weight_decay": 0.1},
              trainer={"per_device_train_batch_size": 5, "seed": 1, "num_train_epochs": 3}),
        trial(2, adapter=IA3,
              optimizer={"learning_rate": 2e-2, "lr_scheduler_type": "constant_with_warmup", "warmup_steps": 0.2},
              trainer={"per_device_train_batch_size": 4, "gradient_accumulation_steps": 3, "max_grad_norm": 0.0,
                       "seed": 2, "num_train_epochs": 3}),
        trial(3, adapter={"target_modules": "all-linear", "r": 2, "use_rslora": True},
              optimizer={"learning_rate": 4e-3, "weight_decay": 0.02},
              trainer={"per_device_train_batch_size": 13, "train_sampling_strategy": "random", "seed": 3,
                       "label_smoothing_factor": 0.1, "max_grad_norm": 0.05, "num_train_epochs": 2.5,
                       "eval_strategy": "steps", "eval_steps": 4}),
        trial(4, adapter={"r": 8}, optimizer={"learning_rate": 6e-3, "adam_beta1": 0.8, "adam_epsilon": 1e-6},
              trainer={"num_train_epochs": 1.2, "eval_strategy": "no", "seed": 4}),
        trial(5, adapter={**IA3, "target_modules": ("value", "intermediate.dense"),
                          "feedforward_modules": ("intermediate.dense",)},
              optimizer={"learning_rate": 3e-2}, trainer={"seed": 5, "per_device_train_batch_size": 20}),
        trial(6, adapter={"r": 1}, dataset={"max_length": 6}, trainer={"seed": 6, "per_device_train_batch_size": 40}),
    ]  # fmt: skip


def prune_second(trial: TrialPlan, event: Step | EvalPoint) -> Verdict:
    return Verdict.PRUNE if trial.number == 1 and event.step == 6 else Verdict.CONTINUE


@pytest.mark.slow
@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("slots", [2, 3, 4, 16])
def test_a_mixed_pack_in_double_precision(trial: Plan, data: TokenisedData, tmp_path: Path, slots: int) -> None:
    """One trial is pruned on the way, and others join when a slot is free."""
    found, expected = both(*mixed(trial), data=data, folder=tmp_path, slots=slots, judge=prune_second)
    assert isinstance(found.outcome(1), Pruned)
    assert_alike(found, expected)


@pytest.mark.slow
def test_a_mixed_pack_in_single_precision(trial: Plan, data: TokenisedData, tmp_path: Path) -> None:
    found, expected = both(*mixed(trial), data=data, folder=tmp_path, judge=prune_second)
    assert_alike(found, expected, 10 * CLOSE, weights=False)
    for number in range(7):
        assert found.losses(number) == pytest.approx(expected.losses(number), rel=CLOSE, abs=CLOSE)


@pytest.mark.usefixtures("in_double")
def test_a_pack_with_one_that_is_pruned_and_one_that_joins(trial: Plan, data: TokenisedData, tmp_path: Path) -> None:
    several = mixed(trial)
    short = {"num_train_epochs": 1}
    trials = [trial(0, trainer={"num_train_epochs": 1.4}), several[1], several[5], trial(4, trainer=short)]
    found, expected = both(*trials, data=data, folder=tmp_path, slots=3, judge=prune_second)
    assert isinstance(found.outcome(1), Pruned)
    assert_alike(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [1e-3, 1e-2])
def test_fifty_steps_in_single_precision(trial: Plan, data: TokenisedData, tmp_path: Path, rate: float) -> None:
    long = {"num_train_epochs": 10}
    trials = [
        trial(0, optimizer={"learning_rate": rate}, trainer=long),
        trial(1, optimizer={"learning_rate": rate}, trainer={**long, "seed": 1}, adapter={"r": 2}),
        trial(2, optimizer={"learning_rate": rate}, trainer={**long, "seed": 2}, adapter=IA3),
    ]
    found, expected = both(*trials, data=data, folder=tmp_path)
    for number in range(3):
        assert len(found.losses(number)) == 50
        assert found.losses(number) == pytest.approx(expected.losses(number), rel=CLOSE, abs=CLOSE)


@pytest.mark.slow
@pytest.mark.usefixtures("in_double")
def test_two_hundred_steps_in_double_precision(trial: Plan, data: TokenisedData, tmp_path: Path) -> None:
    long = {"num_train_epochs": 40}
    trials = [trial(0, trainer=long), trial(1, trainer={**long, "seed": 1}, adapter=IA3)]
    assert_alike(*both(*trials, data=data, folder=tmp_path))


def test_an_optimizer_of_eight_bits(trial: Plan, data: TokenisedData, tmp_path: Path) -> None:
    """Only rank 128 on 64 columns makes a matrix that is large enough for eight bits."""
    eight = {"name": "paged_adamw_8bit"}
    adapter = {"r": 128, "target_modules": ("intermediate.dense",)}
    trials = [trial(0, optimizer=eight, adapter=adapter), trial(1, optimizer=eight, trainer={"seed": 1})]
    found, expected = both(*trials, data=data, folder=tmp_path)
    assert_alike(found, expected, 10 * CLOSE, weights=False)


@pytest.mark.usefixtures("in_double")
def test_several_labels(trial: Plan, several: TokenisedData, tmp_path: Path) -> None:
    shared: dict[str, Any] = {"dataset": {"task": "multi_label"}, "study": {"metric": "eval/f1_macro"}}
    accumulated = {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 7, "decision_threshold": 0.3}
    focal = {"focal_gamma": 1.0, "logit_adjustment_tau": 0.5}
    trials = [
        trial(0, trainer={"label_smoothing_factor": 0.2}, **shared),
        trial(1, trainer=accumulated, **shared),
        trial(2, trainer={**accumulated, **focal, "class_weights": "balanced"}, **shared),
    ]
    assert_alike(*both(*trials, data=several, folder=tmp_path))


def test_in_bf16(trial: Plan, data: TokenisedData, tmp_path: Path) -> None:
    trials = [trial(0, trainer={"bf16": True}), trial(1, trainer={"bf16": True, "seed": 1}, adapter=IA3)]
    found, expected = both(*trials, data=data, folder=tmp_path)
    for number in range(2):
        assert found.outcome(number).cost.engine == "packed"
        assert found.losses(number) == pytest.approx(expected.losses(number), abs=3e-2)


def test_on_a_base_in_bfloat16(trial: Plan, data: TokenisedData, tmp_path: Path) -> None:
    """Head and adapter stay float32."""
    half = {"path": trial().config.model.path, "dtype": "bfloat16"}
    trials = [trial(0, model=half), trial(1, model=half, trainer={"seed": 1}, adapter=IA3)]
    found, expected = both(*trials, data=data, folder=tmp_path)
    for number in range(2):
        assert found.losses(number) == pytest.approx(expected.losses(number), abs=3e-2)
        assert found.outcome(number).cost.engine == "packed"
        for name, weight in found.newest[number].items():
            assert weight.dtype == expected.newest[number][name].dtype


@pytest.mark.usefixtures("in_double")
def test_patience_counts_each_trials_own_evaluations(trial: Plan, data: TokenisedData, tmp_path: Path) -> None:
    idle = {"learning_rate": 1e-9}
    every = {"eval_strategy": "steps", "eval_steps": 2}
    trials = [
        trial(0, optimizer=idle, trainer={**every, "early_stopping_patience": 2}),
        trial(1, optimizer=idle, trainer={**every, "early_stopping_patience": 1, "seed": 1}),
        trial(2, optimizer=idle, trainer={**every, "seed": 2}),
    ]
    found, expected = both(*trials, data=data, folder=tmp_path)
    assert_alike(found, expected)
    outcomes = [found.outcome(number) for number in range(3)]
    assert all(isinstance(outcome, Completed) for outcome in outcomes)
    assert [outcome.cost.steps for outcome in outcomes] == [6, 4, 10]


@pytest.mark.parametrize(
    "name", ["lion_32bit", "adamw_bnb_8bit", "ademamix", "rmsprop_bnb_8bit", "stable_adamw", "grokadamw"]
)
def test_optimizers_of_other_packages_step_in_a_pack_as_by_the_trainer(
    trial: Plan, data: TokenisedData, tmp_path: Path, name: OptimizerName
) -> None:
    package = OPTIMIZERS[name].package
    assert package is not None
    pytest.importorskip(package.module)
    optimizer = {"name": name, "learning_rate": 1e-3, "weight_decay": 0.1}
    ours, theirs = both(trial(0, optimizer=optimizer), trial(1, trainer={"seed": 1}), data=data, folder=tmp_path)
    assert_alike(ours, theirs, CLOSE, weights=False)
