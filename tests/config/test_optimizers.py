from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from torch.optim.lr_scheduler import ReduceLROnPlateau
from transformers import SchedulerType, trainer_optimizer
from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION, GreedyLR
from transformers.training_args import OptimizerNames

from sweep.config.names import OptimizerName, ScheduleName
from sweep.config.optimizers import (
    BY_METRIC,
    OPTIMIZERS,
    SCHEDULES,
    optim_arguments,
    optim_text,
    optimizer_rules,
    schedule_arguments,
)
from sweep.config.schema import OptimizerConfig


def rules(**given: Any) -> dict[str, str]:
    return dict(optimizer_rules(OptimizerConfig.model_validate(given)))


def test_the_names_are_those_of_transformers() -> None:
    assert set(get_args(OptimizerName)) == {name.value for name in OptimizerNames} == set(OPTIMIZERS)
    assert set(get_args(ScheduleName)) == {name.value for name in SchedulerType} == set(SCHEDULES)


def read_by(handler: Any) -> Iterator[str]:
    """The names of `optim_args` that the source of a Trainer's handler reads."""
    source = inspect.getsource(handler)
    yield from re.findall(r'optim_args\.(?:get|pop)\("(\w+)"', source)
    yield from re.findall(r'"(\w+)" in ctx\.optim_args', source)
    for names in re.findall(r"for key in \(([^)]*)\)", source):
        yield from re.findall(r'"(\w+)"', names)


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if not name.startswith("rmsprop_bnb")])  # reads any
def test_the_arguments_are_those_that_the_trainer_reads(name: OptimizerName) -> None:
    read = set(read_by(trainer_optimizer._OPTIMIZER_HANDLERS[name])) - {"weight_decay"}
    bitsandbytes = trainer_optimizer._OPTIMIZER_HANDLERS[name] is trainer_optimizer._get_bitsandbytes_optimizer
    if bitsandbytes:  # one handler for several kinds, of which AdEMAMix alone has arguments of its own
        read = read if "ademamix" in name else set()
    assert set(OPTIMIZERS[name].arguments) == read


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_arguments_of_a_schedule_are_those_of_its_function(name: ScheduleName) -> None:
    made: Any = {"reduce_lr_on_plateau": ReduceLROnPlateau, "greedy": GreedyLR}.get(
        name, TYPE_TO_SCHEDULER_FUNCTION[SchedulerType(name)]
    )
    ours = {"optimizer", "num_warmup_steps", "num_training_steps", "last_epoch", "mode", "verbose"}
    assert set(SCHEDULES[name]) == set(inspect.signature(made).parameters) - ours


@pytest.mark.parametrize(
    ("given", "typed"),
    [
        ("momentum=0.9, nesterov=True", {"momentum": 0.9, "nesterov": True}),
        ({"momentum": 1, "nesterov": False}, {"momentum": 1, "nesterov": False}),
        ("", {}),
        (None, {}),
    ],
)
def test_either_form_gives_the_same_values(given: Any, typed: dict[str, Any]) -> None:
    config = OptimizerConfig(name="sgd", optim_args=given)
    assert optim_arguments(config) == typed
    again = OptimizerConfig(name="sgd", optim_args=optim_text(config))
    assert optim_arguments(again) == typed


def test_a_schedule_takes_json_too() -> None:
    given = OptimizerConfig(lr_scheduler_type="cosine_with_restarts", lr_scheduler_kwargs='{"num_cycles": 3}')
    assert schedule_arguments(given) == {"num_cycles": 3}
    assert rules(**given.model_dump()) == {}


@pytest.mark.parametrize(
    ("given", "key", "says"),
    [
        ({"name": "sgd", "optim_args": {"momentom": 0.9}}, "optim_args.momentom", "did you mean momentum?"),
        ({"name": "sgd", "optim_args": {"momentum": "0.9"}}, "optim_args.momentum", "must be a finite number"),
        ({"name": "sgd", "optim_args": {"momentum": True}}, "optim_args.momentum", "must be a finite number"),
        ({"name": "sgd", "optim_args": "momentum"}, "optim_args", "must be NAME=VALUE"),
        ({"name": "sgd", "optim_args": "momentum=a"}, "optim_args.momentum", "is 'a', but must be a finite number"),
        ({"name": "sgd", "optim_args": "momentum=.1,momentum=.2"}, "optim_args", "twice"),
        ({"name": "sgd", "optim_args": "momentum=-1"}, "optim_args.momentum", "0 or more"),
        ({"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"power": -2.0}}, "lr_scheduler_kwargs.power", "0 or more"),
        ({"name": "sgd", "optim_args": "momentum=inf"}, "optim_args.momentum", "finite"),
        ({"name": "sgd", "optim_args": {"weight_decay": 0.1}}, "optim_args.weight_decay", "takes optimizer.weight_decay"),
        ({"optim_args": {"beta1": 0.1}}, "optim_args.beta1", "is no argument of adamw_torch; there are: none"),
        ({"name": "apollo_adamw", "optim_target_modules": "x", "optim_args": {"proj": "randm"}},
         "optim_args.proj", "did you mean random?"),
        ({"lr_scheduler_kwargs": {"num_cycles": 2}}, "lr_scheduler_kwargs.num_cycles", "no argument of the schedule linear"),
        ({"lr_scheduler_kwargs": "[1]"}, "lr_scheduler_kwargs", "JSON mapping"),
        ({"lr_scheduler_type": "warmup_stable_decay"}, "lr_scheduler_kwargs", "lacks num_decay_steps"),
        ({"lr_scheduler_type": "cosine_with_restarts", "lr_scheduler_kwargs": {"num_cycles": 1.5}},
         "lr_scheduler_kwargs.num_cycles", "must be a whole number"),
        ({"lr_scheduler_type": "greedy", "lr_scheduler_kwargs": {"mode": "max"}}, "lr_scheduler_kwargs.mode", "lower is better"),
        ({"lr_scheduler_type": "reduce_lr_on_plateau", "warmup_steps": 3}, "warmup_steps", "has no warmup"),
        ({"name": "schedule_free_sgd", "lr_scheduler_type": "constant", "warmup_steps": 0.1}, "warmup_steps", "a number of steps"),
        ({"name": "lion_32bit", "adam_epsilon": 1e-6}, "adam_epsilon", "gives lion_32bit none"),
        ({"name": "rmsprop", "adam_beta1": 0.5}, "adam_beta1", "leave it at 0.9"),
        ({"name": "galore_adamw"}, "optim_target_modules", "type optimizer.optim_target_modules=all-linear"),
        ({"optim_target_modules": "all-linear"}, "optim_target_modules", "counts only with GaLore and APOLLO"),
    ],
)  # fmt: skip
def test_arguments_that_an_optimizer_or_schedule_does_not_take(given: dict[str, Any], key: str, says: str) -> None:
    found = rules(**given)
    assert list(found) == [f"optimizer.{key}"]
    assert says in found[f"optimizer.{key}"]


def test_a_schedule_free_optimizer_may_warm_up_beside_a_constant_schedule() -> None:
    assert rules(name="schedule_free_adamw", lr_scheduler_type="constant", warmup_steps=5) == {}


def test_every_name_alone_breaks_no_rule() -> None:
    for name, traits in OPTIMIZERS.items():
        targets = {"optim_target_modules": "all-linear"} if traits.targets else {}
        assert rules(name=name, **targets) == {}, name
    for schedule in SCHEDULES:
        needed = {"lr_scheduler_kwargs": {"num_decay_steps": 1}} if schedule == "warmup_stable_decay" else {}
        assert rules(lr_scheduler_type=schedule, **needed) == {}, schedule
    assert set(BY_METRIC) < set(SCHEDULES)
